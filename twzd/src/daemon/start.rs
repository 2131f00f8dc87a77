// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starting a thread's program, as its user and in its place.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::unistd::{Uid, User};
use twz::{
    PoolInfo,
    resume::{self, Claim},
};

/// Starts the program, which has the claim from then on; drop it here.
pub fn start(claim: &Claim, name: &str, pool: &PoolInfo) -> io::Result<Child> {
    let state = claim.state();
    let mut command = Command::new(&state.program);
    command.args(&state.args).current_dir(&state.directory).env_clear();
    command.envs(state.env.iter().filter(|(name, _)| resume::is_kept(name)).cloned());
    let root = Uid::effective().is_root();
    if root {
        as_user(&mut command, state.uid)?;
    }
    tell_pool(&mut command, pool);
    // In a group of its own, for what is meant for this one is not for it.
    command.stdin(Stdio::null()).process_group(0);
    claim.hand_down(&mut command, name).map_err(io::Error::other)?;
    command.spawn()
}

/// What names the pool that it is a thread of.
fn tell_pool(command: &mut Command, pool: &PoolInfo) {
    let path: &Path = &pool.path;
    match pool.home {
        "kernel" => command.env("TWZ_BACKEND", "kernel").env("TWZ_DEVICE", path),
        _ => command.env("TWZ_BACKEND", "embedded").env("TWZ_POOL", path),
    };
}

/// With this user's group, and no others: what the thread's object could say of
/// groups, nobody vouches for.
fn as_user(command: &mut Command, uid: u32) -> io::Result<()> {
    let user = User::from_uid(Uid::from_raw(uid))?
        .ok_or_else(|| io::Error::other(format!("there is no user {uid}")))?;
    command.uid(uid).gid(user.gid.as_raw());
    command.env("HOME", &user.dir).env("USER", &user.name).env("LOGNAME", &user.name);
    Ok(())
}
