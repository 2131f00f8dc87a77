// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the daemon does for others: it holds the host's keys and signs with them,
//! for whom the configuration allows it. All it knows is in the pool, but one key in
//! a file, the host's own, by which it finds the rest; so a daemon that is killed has
//! lost nothing.
//!
//! It acts in a context of its own, which alone may write the audit log and the
//! contexts that were made here, so that nobody else takes a mask out of them.

use std::{fs, path::Path, time::Instant};

use serde_json::{Value, json};
use twz::{
    Backend, Binding, Error, ObjectId, Result, Rights, Space,
    security::{
        AttachClaim, Context, Gate, Grant, How, KeyPair, NewContext, Policy, Terms, context_flags,
        digest, secret, sign,
    },
};
use twzd::{Ask, Refusal, Reply};

use crate::{
    audit::{self, Audit},
    config::{Config, Peer},
    follow::{self, Follower},
    metrics::Metrics,
    say,
};

const DIR: &str = "/.twzd";
const KEYS: &str = "/.twzd/keys";
const OWN: &str = "/.twzd/host";
/// The file with the host's own key, in the directory of its state.
const KEY_FILE: &str = "host.key";
const WRITE: Rights = Rights(Rights::READ.0 | Rights::WRITE.0);

/// Everything that is needed to answer.
pub struct Host {
    space: Space,
    own: KeyPair,
    own_id: ObjectId,
    context: ObjectId,
    audit: Audit,
    /// Where the kernel decides, what it decides.
    follower: Option<Follower>,
    config: Config,
    pub metrics: Metrics,
    since: Instant,
}

impl Host {
    /// Finds the host's key, context and log, or makes them, and acts in that context
    /// from now on.
    pub fn open(pool: Box<dyn Backend>, state: &Path, config: Config) -> Result<Self> {
        let space = Space::on(pool)?;
        let pool = space.backend();
        let file = state.join(KEY_FILE);
        let own = match file.exists() {
            true => secret::read(&file, None)?,
            false => {
                fs::create_dir_all(state).map_err(|error| Error::Io {
                    doing: "make",
                    path: Some(state.to_path_buf()),
                    error,
                })?;
                let own = KeyPair::generate()?;
                secret::save(&file, &own, None)?;
                own
            }
        };
        let own_id = own.publish(pool)?;
        for dir in [DIR, KEYS] {
            match pool.make_dir(dir) {
                Ok(()) | Err(Error::NameTaken(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let context = own_context(pool, &own, own_id)?;
        // Programs that are started from here have no part in it.
        space.attach_with_key(context, &own, How { switch: true, cloexec: true })?;
        let pool = space.backend();
        let limit = config.audit_limit;
        let mut made = |id| entrust(&space, context, &own, id);
        let audit = Audit::open(pool, audit::NAMES, own_id, limit, &mut made)?;
        let follower = match pool.info()?.home {
            "kernel" => {
                let log = Audit::open(pool, follow::NAMES, own_id, limit, &mut made)?;
                Some(Follower::new(pool, log)?)
            }
            _ => None,
        };
        let (metrics, since) = (Metrics::default(), Instant::now());
        Ok(Self { space, own, own_id, context, audit, follower, config, metrics, since })
    }

    /// Writes down what the kernel has decided since. `false` if there is no more to come,
    /// since it does not tell this daemon.
    pub fn follow(&mut self) -> bool {
        let Some(follower) = &mut self.follower else { return false };
        let (space, context, own) = (&self.space, self.context, &self.own);
        let mut made = |id| entrust(space, context, own, id);
        if let Err(error) = follower.follow(space.backend(), &mut made) {
            say!("the kernel's decisions cannot be written down: {error}");
            self.metrics.unfollowed += 1;
            if error.errno() == libc::EPERM {
                self.follower = None;
            }
        }
        self.follower.is_some()
    }

    /// Decides, does and writes down what somebody asks for.
    pub fn answer(&mut self, peer: &Peer, ask: &Ask) -> Reply {
        let (word, key) = ask.needs();
        let allowed = self.config.allows(peer, word, key);
        let done = match allowed {
            true => self.act(ask).map_err(|error| refusal(&error)),
            false => Err(Refusal {
                message: format!("the user {} may not '{word}'{}", peer.name(), with(key)),
                errno: libc::EPERM,
            }),
        };
        self.metrics.count(word, done.is_ok());
        // Who only looks leaves no trace.
        let looked = matches!(ask, Ask::Status {} | Ask::Metrics {} | Ask::Keys {});
        let refused = done.as_ref().err().map(|refusal| refusal.message.as_str());
        if !looked || refused.is_some() {
            let (space, context, own) = (&self.space, self.context, &self.own);
            let mut made = |id| entrust(space, context, own, id);
            let written = self.audit.write(space.backend(), peer, ask, refused, &mut made);
            if let Err(error) = written {
                // It is not told of as done where nobody could see that it was.
                let message = format!("the audit log cannot be written: {error}");
                return Reply::Refused(Refusal { message, errno: libc::EIO });
            }
        }
        match done {
            Ok(value) => Reply::Done(value),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn act(&self, ask: &Ask) -> Result<Value> {
        match ask {
            Ask::Status {} => self.status(),
            Ask::Metrics {} => Ok(json!({ "text": self.metrics.text(self.since.elapsed()) })),
            Ask::Keys {} => self.keys(),
            Ask::NewKey { name } => self.new_key(name),
            Ask::NewContext { name, key, mask, flags } => self.new_context(name, key, mask, flags),
            Ask::Grant { context, terms, key } => {
                let context = self.context(context)?;
                let grant = context.grant(&self.terms(terms)?, &self.key(key)?)?;
                self.loaded(&context, Some(&grant))
            }
            Ask::Delegate { from, to, terms, key } => {
                let (from, to) = (self.context(from)?, self.context(to)?);
                let grant = from.delegate(&to, &self.terms(terms)?, None, &self.key(key)?)?;
                self.loaded(&to, Some(&grant))
            }
            Ask::Remove { context, hash, key } => {
                let context = self.owned(context, key)?;
                let hash = bytes::<32>(hash)?;
                match context.remove(&hash)? {
                    true => self.loaded(&context, None),
                    false => Err(Error::Unsupported("the context holds no grant with that hash")),
                }
            }
            Ask::Mask { context, object, rights, key } => {
                let context = self.owned(context, key)?;
                let object = self.object(object)?;
                match rights {
                    Some(rights) => context.set_mask(object, parse(rights)?)?,
                    None => context.clear_mask(object).map(|_| ())?,
                }
                self.loaded(&context, None)
            }
            Ask::Revoke { object, key } => {
                let object = self.object(object)?;
                let epoch = self.pool().stat(object)?.epoch.saturating_add(1);
                self.space.revoke(object, epoch, &self.key(key)?)?;
                Ok(json!({ "object": object.to_string(), "epoch": epoch }))
            }
            Ask::Prove { context, key, nonce } => {
                let context = self.owned(context, key)?.id();
                let (pool, nonce) = (self.pool().info()?.pool_id, bytes(nonce)?);
                let proof = self.key(key)?.sign(&AttachClaim { pool, context, nonce }.message());
                Ok(json!({ "proof": hex(&proof) }))
            }
        }
    }

    fn pool(&self) -> &dyn Backend {
        self.space.backend()
    }

    fn status(&self) -> Result<Value> {
        let info = self.pool().info()?;
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": twzd::VERSION,
            "pool": info.path,
            "home": info.home,
            "context": self.context.to_string(),
            "key": self.own_id.to_string(),
            "seconds": self.since.elapsed().as_secs(),
        }))
    }

    fn keys(&self) -> Result<Value> {
        let mut keys = Vec::new();
        let mut names = Vec::new();
        self.pool().read_dir(KEYS, &mut |name, _| {
            names.push(name.to_string());
            Ok(())
        })?;
        for name in names {
            let owner = self.pool().stat(self.secret(&name)?)?.identity.owner;
            keys.push(json!({ "name": name, "id": owner.to_string() }));
        }
        Ok(json!({ "keys": keys }))
    }

    /// What the keys of the host are sealed with: nobody but it can say it.
    fn seal(&self) -> String {
        hex(&self.own.sign(b"twzd seals the keys of this host"))
    }

    fn new_key(&self, name: &str) -> Result<Value> {
        let right = (1..=64).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
        if !right {
            return Err(Error::Unsupported("a key's name is letters, digits, - and _, up to 64"));
        }
        let path = format!("{KEYS}/{name}");
        match self.pool().lookup(&path) {
            Err(Error::NoName(_)) => {}
            Ok(_) => return Err(Error::NameTaken(path)),
            Err(error) => return Err(error),
        }
        let key = KeyPair::generate()?;
        let seal = self.seal();
        let secret = secret::store(self.pool(), &key, Some(seal.as_bytes()), Rights::READ)?;
        self.pool().sync(secret)?;
        self.pool().bind(&path, secret, false)?;
        Ok(json!({ "name": name, "id": key.publish(self.pool())?.to_string() }))
    }

    fn secret(&self, name: &str) -> Result<ObjectId> {
        if name.contains('/') {
            return Err(Error::NoName(name.into()));
        }
        let path = format!("{KEYS}/{name}");
        match self.pool().lookup(&path)? {
            Binding::Object(id) => Ok(id),
            Binding::Directory => Err(Error::NoName(path)),
        }
    }

    fn key(&self, name: &str) -> Result<KeyPair> {
        secret::load(self.pool(), self.secret(name)?, Some(self.seal().as_bytes()))
    }

    fn new_context(&self, name: &str, key: &str, mask: &str, flags: &[String]) -> Result<Value> {
        let signer = self.key(key)?;
        let owner = signer.publish(self.pool())?;
        let mut bits = 0;
        for flag in flags {
            bits |= match flag.as_str() {
                "undetachable" => context_flags::UNDETACHABLE,
                "confined" => context_flags::CONFINED,
                _ => return Err(Error::Unsupported("a flag is 'undetachable' or 'confined'")),
            };
        }
        let policy = Policy { mask: parse(mask)?, flags: bits };
        let new = NewContext { owner, policy, rights: Rights::READ };
        let context = Context::create(self.pool(), &new)?;
        entrust(&self.space, self.context, &signer, context.id())?;
        self.pool().sync(context.id())?;
        self.pool().bind(name, context.id(), false)?;
        Ok(json!({ "id": context.id().to_string(), "name": name }))
    }

    /// An object, by its id or the path of its name.
    fn object(&self, text: &str) -> Result<ObjectId> {
        match text.parse() {
            Ok(id) => Ok(id),
            Err(_) => self.space.resolve(text),
        }
    }

    fn context(&self, text: &str) -> Result<Context<'_>> {
        Context::open(self.pool(), self.object(text)?)
    }

    /// A context that this key owns: what is not signed is for its owner to change.
    fn owned(&self, text: &str, key: &str) -> Result<Context<'_>> {
        let context = self.context(text)?;
        let owner = self.pool().stat(context.id())?.identity.owner;
        match owner == self.pool().stat(self.secret(key)?)?.identity.owner {
            true => Ok(context),
            false => Err(Error::NotOwner { id: context.id(), why: "another key owns it" }),
        }
    }

    fn terms(&self, terms: &twzd::Terms) -> Result<Terms> {
        let target = self.object(&terms.object)?;
        let plain = Terms::new(target, parse(&terms.rights)?).between(terms.from, terms.until);
        Ok(match terms.gate {
            Some((offset, length, align)) => plain.through(Gate { offset, length, align }),
            None => plain,
        })
    }

    fn loaded(&self, context: &Context<'_>, grant: Option<&Grant>) -> Result<Value> {
        self.pool().sync(context.id())?;
        let (holding, void) = self.space.load(context.id())?;
        Ok(json!({
            "context": context.id().to_string(),
            "grant": grant.map(|grant| hex(&digest(grant))),
            "holding": holding,
            "void": void,
        }))
    }
}

/// The host's own context, which grants itself to be written in it.
fn own_context(pool: &dyn Backend, own: &KeyPair, owner: ObjectId) -> Result<ObjectId> {
    match pool.lookup(OWN) {
        Ok(Binding::Object(id)) => {
            // Somebody else's would let them act for the host.
            return match pool.stat(id)?.identity.owner == owner {
                true => Ok(id),
                false => Err(Error::NotOwner { id, why: "it is the context of another host" }),
            };
        }
        Ok(Binding::Directory) => return Err(Error::NameTaken(OWN.into())),
        Err(Error::NoName(_)) => {}
        Err(error) => return Err(error),
    }
    let new = NewContext { owner, policy: Policy::OPEN, rights: Rights::READ };
    let context = Context::create_with(pool, &new, |id| {
        vec![sign(Terms::new(id, WRITE).unsigned(id, 0), own)]
    })?;
    pool.sync(context.id())?;
    pool.bind(OWN, context.id(), false)?;
    Ok(context.id())
}

/// Grants the host's context to write an object that `key` owns.
fn entrust(space: &Space, host: ObjectId, key: &KeyPair, id: ObjectId) -> Result<()> {
    let context = Context::open(space.backend(), host)?;
    context.grant(&Terms::new(id, WRITE), key)?;
    space.backend().sync(host)?;
    space.load(host).map(|_| ())
}

fn refusal(error: &Error) -> Refusal {
    Refusal { message: error.to_string(), errno: error.errno() }
}

fn with(key: Option<&str>) -> String {
    key.map_or(String::new(), |key| format!(" with the key '{key}'"))
}

fn parse(rights: &str) -> Result<Rights> {
    Rights::parse(rights).ok_or(Error::Unsupported("rights are letters out of rwxudg"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N]> {
    let odd = || Error::Unsupported("hex digits are expected, and so many of them");
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(odd());
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        let digits = text.get(at..at + 2).ok_or_else(odd)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| odd())?;
    }
    Ok(bytes)
}
