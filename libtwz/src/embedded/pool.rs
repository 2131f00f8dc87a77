// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool as a whole: making one, opening one, its superblock and control page.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};
use twz_abi::{
    FORMAT_VERSION, FormatError, PAGE, Superblock,
    features::Access,
    superblock::{CONTROL_MAGIC, Control, SUPER_MAGIC, kind},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{paths, realm::Realm};
use crate::{
    backend::{Medium, PoolInfo},
    error::{Error, Result},
    raw::{
        control::ControlPage,
        persist::{Method, maps_synchronously},
        sys,
    },
};

/// Offset of the control page in the pool file.
pub(super) const CONTROL_OFFSET: u64 = 2 * PAGE;

/// How to make a pool.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Text for people, up to 63 bytes.
    pub label: String,
}

/// A pool directory, open.
pub struct EmbeddedPool {
    pub(super) root: PathBuf,
    pub(super) dir: OwnedFd,
    /// The root of the namespace, once that was asked for: a check finds it missing.
    names: OnceLock<OwnedFd>,
    pub(super) file: File,
    pub(super) superblock: Superblock,
    pub(super) read_only: bool,
    control: ControlPage,
    pub(super) medium: Medium,
    /// What this process acts in here.
    pub(super) realm: Arc<Realm>,
}

/// Where a newcomer's pool is: `$TWZ_POOL`, else `twz` in the user's data directory.
pub fn default_path() -> PathBuf {
    if let Some(path) = std::env::var_os("TWZ_POOL").filter(|p| !p.is_empty()) {
        return path.into();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let data = std::env::var_os("XDG_DATA_HOME").filter(|p| !p.is_empty()).map(PathBuf::from);
    data.or_else(home).unwrap_or_else(|| "/var/tmp".into()).join("twz")
}

impl EmbeddedPool {
    /// Makes a pool in `root`, which must not exist or be an empty directory.
    /// It is not a pool before the last step, so a half-made one is never taken
    /// for one.
    pub fn init(root: &Path, options: &InitOptions) -> Result<()> {
        if options.label.len() > 63 {
            return Err(Error::Unsupported("a label has at most 63 bytes"));
        }
        match fs::create_dir_all(root).and_then(|()| Ok(fs::read_dir(root)?.next().is_none())) {
            Ok(true) => {}
            Ok(false) => return Err(Error::PoolExists(root.into())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::PoolExists(root.into()));
            }
            Err(error) => return Err(Error::at("make the pool directory", root)(error)),
        }
        for sub in [paths::OBJECTS, paths::NAMES, paths::INODES, paths::TMP] {
            make(&root.join(sub))?;
        }
        Self::write_pool_file(root, &options.label)
    }

    fn write_pool_file(root: &Path, label: &str) -> Result<()> {
        let target = root.join(paths::POOL_FILE);
        let temporary = paths::temporary(root);
        let at = |path: &Path| Error::at("write", path.to_path_buf());
        let mut file = File::create_new(&temporary).map_err(at(&temporary))?;
        let inode = file.metadata().map_err(at(&temporary))?.ino();
        let mut block = Superblock::new_zeroed();
        block.magic = SUPER_MAGIC;
        block.version = FORMAT_VERSION;
        block.kind = kind::DIRECTORY;
        block.pool_id = sys::random()?;
        block.hash_seed = u64::from_le_bytes(sys::random()?);
        block.created = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        block.home_inode = inode;
        block.label[..label.len()].copy_from_slice(label.as_bytes());
        for sequence in [0, 1] {
            block.sequence = sequence;
            block.checksum = block.compute_checksum();
            file.write_all(block.as_bytes()).map_err(at(&temporary))?;
        }
        let mut page = [0u8; PAGE as usize];
        let control = Control { magic: CONTROL_MAGIC, generation: 1, names: 1 };
        page[..size_of::<Control>()].copy_from_slice(control.as_bytes());
        file.write_all(&page).map_err(at(&temporary))?;
        file.sync_all().map_err(at(&temporary))?;
        fs::rename(&temporary, &target).map_err(at(&target))
    }

    /// Opens the pool in `root`.
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join(paths::POOL_FILE);
        let (file, mut read_only) = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoPool(root.into()));
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EROFS)) => {
                (File::open(&path).map_err(Error::at("open", &path))?, true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NoPool(root.into()));
            }
            Err(error) => return Err(Error::at("open", &path)(error)),
        };
        let (superblock, access) = read_superblocks(&file, &path)?;
        read_only |= access == Access::ReadOnly;
        if superblock.kind != kind::DIRECTORY {
            let error = FormatError::Range { what: "pool kind", found: superblock.kind as u64 };
            return Err(Error::Format { what: path.display().to_string(), error });
        }
        let control = ControlPage::map(&file, CONTROL_OFFSET, !read_only)?;
        if control.magic() != CONTROL_MAGIC {
            let error = FormatError::Magic { what: "control page", found: control.magic() };
            return Err(Error::Format { what: path.display().to_string(), error });
        }
        let dir = File::open(root).map_err(Error::at("open", root))?.into();
        let root = fs::canonicalize(root).map_err(Error::at("open", root))?;
        let medium = medium_of(&file);
        let (realm, new) = Realm::of(superblock.pool_id, &file)?;
        let names = OnceLock::new();
        let mut pool =
            Self { root, dir, names, file, superblock, read_only, control, medium, realm };
        pool.notice_a_copied_pool()?;
        if new {
            pool.inherit()?;
        }
        Ok(pool)
    }

    /// Inode numbers mean nothing in a copy: what maps them is made anew.
    fn notice_a_copied_pool(&mut self) -> Result<()> {
        let path = self.root.join(paths::POOL_FILE);
        let inode = self.file.metadata().map_err(Error::at("stat", &path))?.ino();
        if inode == self.superblock.home_inode || self.read_only {
            return Ok(());
        }
        self.rebuild_inodes()?;
        self.superblock.home_inode = inode;
        self.write_superblock()
    }

    /// Writes the superblock to the slot that does not hold the current one.
    fn write_superblock(&mut self) -> Result<()> {
        let path = self.root.join(paths::POOL_FILE);
        self.superblock.sequence += 1;
        self.superblock.checksum = self.superblock.compute_checksum();
        let at = (self.superblock.sequence & 1) * PAGE;
        self.file
            .write_all_at(self.superblock.as_bytes(), at)
            .map_err(Error::at("write", &path))?;
        self.file.sync_data().map_err(Error::at("sync", &path))
    }

    /// Refuses where the pool cannot be written.
    pub(super) fn writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The root of the namespace, open for whoever goes on from there.
    pub(super) fn names(&self) -> Result<BorrowedFd<'_>> {
        if let Some(names) = self.names.get() {
            return Ok(names.as_fd());
        }
        let how = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
        let names = openat(&self.dir, paths::NAMES, how, Mode::empty())
            .map_err(Error::nix("open", self.root.join(paths::NAMES)))?;
        Ok(self.names.get_or_init(|| names).as_fd())
    }

    /// The root directory of the pool.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of process slots.
    pub(super) fn open_locks(&self) -> Result<OwnedFd> {
        let path = self.root.join(paths::LOCKS);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o666);
        options.open(&path).map(OwnedFd::from).map_err(Error::at("open", path))
    }

    pub(super) fn generation(&self) -> &AtomicU64 {
        self.control.generation()
    }

    pub(super) fn bump(&self) -> Result<()> {
        self.writable()?;
        self.generation().fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The same for names.
    pub(super) fn bump_names(&self) -> Result<()> {
        self.writable()?;
        self.control.names().fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn control_file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn pool_info(&self) -> Result<PoolInfo> {
        let fs = nix::sys::statvfs::fstatvfs(&self.dir).map_err(Error::nix("stat", &self.root))?;
        let label = self.superblock.label.split(|&b| b == 0).next().unwrap_or(&[]);
        Ok(PoolInfo {
            home: "directory",
            path: self.root.clone(),
            pool_id: self.superblock.pool_id,
            label: String::from_utf8_lossy(label).into_owned(),
            created: self.superblock.created,
            version: self.superblock.version,
            objects: None,
            capacity: fs.blocks() * fs.fragment_size(),
            free: fs.blocks_available() * fs.fragment_size(),
            read_only: self.read_only,
            durability: durability(self.medium),
        })
    }
}

/// What lies between a store to a file of this kind and the medium. A file on
/// persistent memory counts as such only if stores to it need no help by the
/// file system.
fn medium_of(file: &File) -> Medium {
    const TMPFS: i64 = 0x0102_1994;
    let statfs = nix::sys::statfs::fstatfs(file);
    if statfs.is_ok_and(|fs| fs.filesystem_type().0 == TMPFS) {
        return Medium::Memory;
    }
    if maps_synchronously(file.as_fd()) { Medium::Persistent } else { Medium::PageCache }
}

/// How stores become durable here, in words.
fn durability(medium: Medium) -> &'static str {
    match (Method::forced().ok().flatten(), medium) {
        (Some(Method::Nothing), _) => "TWZ_PERSIST: a store survives a power cut at once",
        (Some(Method::Msync), _) | (None, Medium::PageCache) => {
            "page cache: a store survives the process at once, and a power cut after 'sync'"
        }
        (Some(_), _) => "TWZ_PERSIST: a store survives a power cut once flushed and fenced",
        (None, Medium::Memory) => {
            "memory: a store survives the process at once, and no power cut ever"
        }
        (None, Medium::Persistent) => match Method::persistent_memory() {
            Method::Nothing => "MAP_SYNC and caches: a store survives a power cut at once",
            Method::Clwb => "MAP_SYNC: a store survives a power cut after clwb, sfence",
            Method::Clflushopt => "MAP_SYNC: a store survives a power cut after clflushopt, sfence",
            _ => "MAP_SYNC: a store survives a power cut after clflush",
        },
    }
}

fn make(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(Error::at("make", path))
}

/// Reads both superblocks and takes the newer valid one; where neither is, says
/// what is wrong with the first that at least looks like one.
pub(super) fn read_superblocks(file: &File, path: &Path) -> Result<(Superblock, Access)> {
    let mut best: Option<(Superblock, Access)> = None;
    let mut worst = FormatError::Short { what: "superblock" };
    for slot in [0, 1] {
        let mut block = Superblock::new_zeroed();
        if file.read_exact_at(block.as_mut_bytes(), slot * PAGE).is_err() {
            continue;
        }
        match block.check() {
            Ok(access) if best.as_ref().is_none_or(|(b, _)| block.sequence > b.sequence) => {
                best = Some((block, access));
            }
            Ok(_) => {}
            Err(error) => worst = error,
        }
    }
    best.ok_or_else(|| Error::Format { what: path.display().to_string(), error: worst })
}
