// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said over the daemon's socket: one JSON document a line, a [`Request`]
//! and then its [`Reply`]. `twz` speaks it, and so may anything else.
//!
//! The version is in every request. Who serves knows [`VERSION`] and those before it;
//! a field that it does not know is refused, so that nothing that was asked for is
//! silently left out. Ids, hashes and nonces are hex digits, rights are `rwxudg`,
//! times are nanoseconds since 1970.

use serde::{Deserialize, Serialize};

/// The version of what is said.
pub const VERSION: u32 = 1;
/// Bytes that a line has at most.
pub const LONGEST: usize = 64 << 10;
/// Where the socket is, unless somebody says otherwise.
pub const SOCKET: &str = "/run/twz/twzd.sock";

/// A line to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`] of who asks.
    pub version: u32,
    /// What is wanted.
    pub ask: Ask,
}

/// What can be wanted. Keys and contexts of the host are called by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// How the daemon is.
    Status {},
    /// Counters, in the form that Prometheus reads.
    Metrics {},
    /// The host's keys.
    Keys {},
    /// A new key of the host, whose secret half never leaves it.
    NewKey {
        /// What it is called.
        name: String,
    },
    /// A new context, owned by a key of the host.
    NewContext {
        /// The path of its name in the pool.
        name: String,
        /// The key.
        key: String,
        /// What it leaves of default rights.
        mask: String,
        /// Out of "undetachable" and "confined".
        flags: Vec<String>,
    },
    /// Rights for a context, on what a key of the host owns.
    Grant {
        /// The context.
        context: String,
        /// The terms.
        terms: Terms,
        /// The key.
        key: String,
    },
    /// Rights passed on from a context that a key of the host owns.
    Delegate {
        /// The context that has them.
        from: String,
        /// The context that gets them.
        to: String,
        /// The terms.
        terms: Terms,
        /// The key.
        key: String,
    },
    /// A grant less.
    Remove {
        /// The context.
        context: String,
        /// The grant's hash.
        hash: String,
        /// The key that owns the context.
        key: String,
    },
    /// What a context leaves of an object's default rights.
    Mask {
        /// The context.
        context: String,
        /// The object.
        object: String,
        /// The rights, or nothing: then the context's own mask counts.
        rights: Option<String>,
        /// The key that owns the context.
        key: String,
    },
    /// A higher epoch for what a key of the host owns.
    Revoke {
        /// The object.
        object: String,
        /// The key.
        key: String,
    },
    /// The proof that who asks may be attached to a context.
    Prove {
        /// The context.
        context: String,
        /// The key that owns it.
        key: String,
        /// What the module or the pool made for the one who asks.
        nonce: String,
    },
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The object.
    pub object: String,
    /// The rights.
    pub rights: String,
    /// Slot offset, length and alignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<(u64, u64, u64)>,
    /// From when.
    #[serde(default)]
    pub from: u64,
    /// Until when; 0 is for good.
    #[serde(default)]
    pub until: u64,
}

/// A line from the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done, with this answer.
    Done(serde_json::Value),
    /// It was not.
    Refused(Refusal),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub message: String,
    /// As a number.
    pub errno: i32,
}

impl Ask {
    /// The word that a configuration allows it by, and the key it needs.
    pub fn needs(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Status {} => ("status", None),
            Self::Metrics {} => ("metrics", None),
            Self::Keys {} => ("keys", None),
            Self::NewKey { .. } => ("new-key", None),
            Self::NewContext { key, .. } => ("new-context", Some(key)),
            Self::Grant { key, .. } => ("grant", Some(key)),
            Self::Delegate { key, .. } => ("delegate", Some(key)),
            Self::Remove { key, .. } => ("remove", Some(key)),
            Self::Mask { key, .. } => ("mask", Some(key)),
            Self::Revoke { key, .. } => ("revoke", Some(key)),
            Self::Prove { key, .. } => ("attach", Some(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_and_comes_back() {
        let ask = Ask::Revoke { object: "/ledger".into(), key: "web".into() };
        let request = Request { version: VERSION, ask };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"version":1,"ask":{"revoke":{"object":"/ledger","key":"web"}}}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in [
            r#"{"version":1,"ask":{"status":{"more":1}}}"#,
            r#"{"version":1,"ask":{"status":{}},"more":1}"#,
            r#"{"version":1,"ask":{"fly":{}}}"#,
            r#"{"version":1,"ask":{"revoke":{"object":"a","key":"b","force":true}}}"#,
            r#"{"ask":{"status":{}}}"#,
            "",
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }
}
