// SPDX-License-Identifier: MIT OR Apache-2.0
//! Python's own tests of what has to do with files.

use super::{Job, Scope};

/// Modules that every run has.
const QUICK: [&str; 6] =
    ["test_fcntl", "test_fileio", "test_filecmp", "test_glob", "test_mmap", "test_tempfile"];

const FULL: [&str; 42] = [
    "test_bufio",
    "test_builtin",
    "test_bz2",
    "test_cmd_line_script",
    "test_compileall",
    "test_dbm",
    "test_dbm_dumb",
    "test_exceptions",
    "test_faulthandler",
    "test_file",
    "test_file_eintr",
    "test_fileinput",
    "test_fnmatch",
    "test_genericpath",
    "test_gzip",
    "test_http_cookiejar",
    "test_import",
    "test_io",
    "test_ioctl",
    "test_largefile",
    "test_linecache",
    "test_lzma",
    "test_mailbox",
    "test_memoryio",
    "test_netrc",
    "test_openpty",
    "test_os",
    "test_pathlib",
    "test_pickle",
    "test_posix",
    "test_posixpath",
    "test_py_compile",
    "test_runpy",
    "test_shelve",
    "test_shutil",
    "test_stat",
    "test_subprocess",
    "test_tarfile",
    "test_univnewlines",
    "test_zipapp",
    "test_zipfile",
    "test_zipimport",
];

pub fn jobs(scope: &Scope) -> Vec<Job> {
    let full: &[&str] = if scope.quick { &[] } else { &FULL };
    let job = |module: &&str| {
        let module = (*module).to_owned();
        Job::single(module.clone(), move |room| {
            let options = ["-m", "test", "-u", "largefile", "--tempdir"].map(AsRef::as_ref);
            let own = [room.dir().as_os_str(), module.as_ref()];
            let said = room.run("/usr/bin/python3", options.into_iter().chain(own))?;
            match said.contains("Result: SUCCESS") || said.contains("Tests result: SUCCESS") {
                true => Ok(said),
                false => Err(said),
            }
        })
    };
    QUICK.iter().chain(full).map(job).collect()
}
