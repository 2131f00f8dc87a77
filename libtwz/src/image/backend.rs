// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image as a [`Backend`].

use std::os::fd::{BorrowedFd, OwnedFd};

use twz_abi::{ObjectId, Rights};
use twz_core::ident::Identity;

use super::ImagePool;
use crate::{
    backend::{Backend, Binding, Mapped, NewObject, ObjectStat, PoolInfo},
    error::{Error, Result},
    raw::SlotWindow,
};

const SOON: Error = Error::Unsupported("images are being built");

impl Backend for ImagePool {
    fn info(&self) -> Result<PoolInfo> {
        Err(SOON)
    }
    fn create(&self, _: &NewObject) -> Result<ObjectId> {
        Err(SOON)
    }
    fn adopt(&self, _: &Identity, _: &NewObject) -> Result<ObjectId> {
        Err(SOON)
    }
    fn stat(&self, _: ObjectId) -> Result<ObjectStat> {
        Err(SOON)
    }
    fn list(&self, _: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
        Err(SOON)
    }
    fn resize(&self, _: ObjectId, _: u64) -> Result<()> {
        Err(SOON)
    }
    fn reserve(&self, _: ObjectId, _: u64, _: u64) -> Result<()> {
        Err(SOON)
    }
    fn delete(&self, _: ObjectId) -> Result<()> {
        Err(SOON)
    }
    fn copy(&self, _: ObjectId, _: &NewObject) -> Result<ObjectId> {
        Err(SOON)
    }
    fn read(&self, _: ObjectId, _: u64, _: &mut [u8]) -> Result<()> {
        Err(SOON)
    }
    fn write(&self, _: ObjectId, _: u64, _: &[u8]) -> Result<()> {
        Err(SOON)
    }
    fn sync(&self, _: ObjectId) -> Result<()> {
        Err(SOON)
    }
    fn lookup(&self, _: &str) -> Result<Binding> {
        Err(SOON)
    }
    fn bind(&self, _: &str, _: ObjectId, _: bool) -> Result<()> {
        Err(SOON)
    }
    fn unbind(&self, _: &str) -> Result<()> {
        Err(SOON)
    }
    fn rename(&self, _: &str, _: &str) -> Result<()> {
        Err(SOON)
    }
    fn make_dir(&self, _: &str) -> Result<()> {
        Err(SOON)
    }
    fn remove_dir(&self, _: &str) -> Result<()> {
        Err(SOON)
    }
    fn read_dir(&self, _: &str, _: &mut dyn FnMut(&str, Binding) -> Result<()>) -> Result<()> {
        Err(SOON)
    }
    fn bump_generation(&self) -> Result<()> {
        Err(SOON)
    }
    fn control(&self) -> Option<(BorrowedFd<'_>, i64)> {
        None
    }
    fn map(&self, _: ObjectId, _: &SlotWindow<'_>, _: Rights) -> Result<Mapped> {
        Err(SOON)
    }
    fn map_fot(&self, _: ObjectId, _: &SlotWindow<'_>, _: u32, _: u32, _: Rights) -> Result<u32> {
        Err(SOON)
    }
    fn size(&self, _: ObjectId) -> Result<u64> {
        Err(SOON)
    }
    fn open_data(&self, _: ObjectId, _: bool) -> Result<OwnedFd> {
        Err(SOON)
    }
    fn lock(&self, _: ObjectId) -> Result<OwnedFd> {
        Err(SOON)
    }
}
