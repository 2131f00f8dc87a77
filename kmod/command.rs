// SPDX-License-Identifier: GPL-2.0
//! Commands: from a number and an address to the function that does it.
//!
//! Each argument is copied in whole, then checked, then used, and copied out
//! whole. What commands do is in `object.rs`, `slot.rs` and `names.rs`; those
//! about the session itself are here.

use crate::{
    error::{errno, Refusal, Result},
    fault::{self, By, Shown},
    session::Session,
    sys::{self, DeviceFile, UserBytes},
};
use kernel::{bindings, prelude::*};
use twz_abi::{
    ioctl::{self, Fault, Handshake, Info, LastError},
    reason, Rights, FORMAT_VERSION,
};
use twz_core::rights::Access;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a command's argument is: bytes of which every pattern is a value.
pub(crate) trait Argument: FromBytes + IntoBytes + Immutable {}

impl<T: FromBytes + IntoBytes + Immutable> Argument for T {}

impl Session {
    /// Does command `number` with the argument at `address`.
    pub(crate) fn dispatch(&self, file: &DeviceFile, number: u32, address: usize) -> Result<isize> {
        self.is_ours()?;
        if number == ioctl::HANDSHAKE {
            return self.handshake(address);
        }
        if ioctl::COMMANDS.iter().all(|command| command.number != number) {
            return Err(ENOTTY.into());
        }
        if !self.is_greeted() {
            return Err(Refusal::new(errno(bindings::EPROTO), reason::BAD_ARGUMENT));
        }
        match number {
            ioctl::INFO => exchange(address, |info| self.info(info)),
            ioctl::LAST_ERROR => exchange(address, |told: &mut LastError| {
                *told = self.space.refusals.last();
                Ok(())
            }),
            ioctl::FAULT => exchange(address, |fault| self.let_go(fault)),
            ioctl::CREATE => exchange(address, |a| self.create(a)),
            ioctl::ADOPT => exchange(address, |a| self.adopt(a)),
            ioctl::STAT => exchange(address, |a| self.stat(a)),
            ioctl::LIST => exchange(address, |a| self.list(a)),
            ioctl::RESIZE => exchange(address, |a| self.resize(a)),
            ioctl::RESERVE => exchange(address, |a| self.reserve(a)),
            ioctl::DELETE => exchange(address, |a| self.delete(a)),
            ioctl::SYNC => exchange(address, |a| self.sync(a)),
            ioctl::COPY => exchange(address, |a| self.copy(a)),
            ioctl::READ => exchange(address, |a| self.read(a)),
            ioctl::WRITE => exchange(address, |a| self.write(a)),
            ioctl::OPEN_FD => self.open_fd(address),
            ioctl::WAIT => exchange(address, |a| self.wait(a)),
            ioctl::WAKE => exchange(address, |a| self.wake(a)),
            ioctl::SET_VIEW => self.set_view(file, address),
            ioctl::INVALIDATE_VIEW => exchange(address, |a| self.invalidate_view(a)),
            ioctl::RESOLVE => exchange(address, |a| self.resolve(a)),
            ioctl::LOOKUP => exchange(address, |a| self.lookup(a)),
            ioctl::BIND => exchange(address, |a| self.bind(a)),
            ioctl::UNBIND => exchange(address, |a| self.unbind(a)),
            ioctl::RENAME => exchange(address, |a| self.rename(a)),
            ioctl::MKDIR => exchange(address, |a| self.mkdir(a)),
            ioctl::RMDIR => exchange(address, |a| self.rmdir(a)),
            ioctl::READ_DIR => exchange(address, |a| self.read_dir(a)),
            ioctl::CONTEXTS => exchange(address, |a| self.contexts(a)),
            ioctl::ATTACH => exchange(address, |a| self.attach(a)),
            ioctl::DETACH => exchange(address, |a| self.detach(a)),
            ioctl::SWITCH => exchange(address, |a| self.switch(a)),
            ioctl::LOAD => exchange(address, |a| self.load(a)),
            ioctl::REVOKE => exchange(address, |a| self.revoke(a)),
            _ => Err(ENOTTY.into()),
        }
    }

    /// Tells the module's versions, also when they are not the caller's.
    fn handshake(&self, address: usize) -> Result<isize> {
        let mut theirs: Handshake = fetch(address)?;
        zero(theirs.reserved)?;
        let ours = Handshake {
            abi_version: ioctl::ABI_VERSION,
            format_version: FORMAT_VERSION,
            features: 0,
            pool_id: self.space.pool_id,
            pages: self.space.pages,
            reserved: 0,
        };
        let agree =
            (theirs.abi_version, theirs.format_version) == (ours.abi_version, ours.format_version);
        theirs = ours;
        store(address, &theirs)?;
        if !agree {
            return Err(errno(bindings::EPROTO).into());
        }
        self.greet();
        Ok(0)
    }

    fn info(&self, info: &mut Info) -> Result {
        self.space.look(|state| {
            let (geometry, now) = (state.store.geometry(), state.store.info()?);
            let mut label = [0; 64];
            for (to, from) in label.iter_mut().zip(geometry.label()) {
                *to = *from;
            }
            *info = Info {
                pool_id: geometry.pool_id,
                label,
                created: geometry.created,
                format_version: FORMAT_VERSION,
                read_only: state.read_only as u32,
                objects: now.objects.saturating_sub(now.directories),
                records: now.records,
                unused_records: now.unused_records,
                pages: now.pages,
                data_pages: now.data_pages,
                free_pages: now.free_pages,
            };
            Ok(())
        })
    }

    /// Takes out the page that forbids an access which would be allowed now.
    fn let_go(&self, fault: &mut Fault) -> Result {
        zero(fault.reserved as u64)?;
        let access = match Rights(fault.access) {
            Rights::READ => Access::Read,
            Rights::WRITE => Access::Write,
            Rights::EXEC => Access::Execute,
            _ => return Err(Refusal::argument()),
        };
        let found =
            sys::mapped_at(fault.address as usize, |session: &Session, page, protection| {
                Some((session.shown()?, page, protection))
            });
        let (view, page, protection) = found.flatten().ok_or(Refusal::argument())?;
        let by = By::Member(self.member());
        fault::let_go(self.space, Shown::View { view }, by, page, access, protection)
    }
}

/// Copies an argument in, does something with it, and copies it out.
pub(crate) fn exchange<T: Argument>(
    address: usize,
    act: impl FnOnce(&mut T) -> Result,
) -> Result<isize> {
    let mut argument = fetch(address)?;
    act(&mut argument)?;
    store(address, &argument)?;
    Ok(0)
}

/// Copies an argument in.
pub(crate) fn fetch<T: Argument>(address: usize) -> Result<T> {
    let mut argument = T::new_zeroed();
    UserBytes::new(address, core::mem::size_of::<T>()).read(argument.as_mut_bytes())?;
    Ok(argument)
}

/// Copies an argument out.
pub(crate) fn store<T: Argument>(address: usize, argument: &T) -> Result {
    Ok(UserBytes::new(address, core::mem::size_of::<T>()).write(argument.as_bytes())?)
}

/// Refuses a reserved field that is not zero.
pub(crate) fn zero(reserved: u64) -> Result {
    match reserved {
        0 => Ok(()),
        _ => Err(Refusal::argument()),
    }
}
