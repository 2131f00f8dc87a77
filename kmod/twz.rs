// SPDX-License-Identifier: GPL-2.0
//! The kernel module: for now, it says that it is there and earns an id.

use kernel::prelude::*;

mod sys;

module! {
    type: Twz,
    name: "twz",
    authors: ["Twizzler on Linux"],
    description: "Persistent objects, cross-object pointers, capabilities",
    license: "GPL",
}

/// The module, as long as it is loaded.
struct Twz;

impl kernel::Module for Twz {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("format {}, page {}\n", twz_abi::FORMAT_VERSION, twz_abi::PAGE);
        Ok(Self)
    }
}

impl Drop for Twz {
    fn drop(&mut self) {
        pr_info!("gone\n");
    }
}
