// SPDX-License-Identifier: MIT OR Apache-2.0
//! Security contexts: any bytes are loaded or refused, every grant that holds is one
//! that is there and signed, and nothing is allowed that none of them grants.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::{
    DATA_START, ObjectId, Rights,
    security::{
        GRANT_MAGIC, Key, MASK_MAGIC, Policy, PublicKey, RECORD, Record, SECURITY_VERSION,
        Signature, policy_word,
    },
};
use twz_core::{
    Identity,
    ident::ContentHash,
    rights::Access,
    security::{
        Facts, Gates, Link, Loaded, Object, Rules, Slot, Verifier,
        link::{self, Bytes},
        rules,
        switch::{Attempt, Spot, may_switch},
    },
};
use zerocopy::{FromBytes as _, IntoBytes as _};

const CONTEXT: ObjectId = ObjectId { lo: 5, hi: 5 };
const OWNER: ObjectId = ObjectId { lo: 9, hi: 9 };

/// Every object is there and has the one owner, whose key is zeros.
struct Everything;

impl Facts for Everything {
    fn object(&self, id: ObjectId) -> Option<Object> {
        let mut identity = Identity { owner: OWNER, ..Identity::plain([0; 16]) };
        if id == OWNER {
            let mut hash = ContentHash::new();
            hash.update(&self.key(id)?);
            identity.flags = twz_abi::meta::flags::IMMUTABLE;
            identity.content = hash.finish();
        }
        (!id.lo.is_multiple_of(7)).then_some(Object { id, identity, epoch: id.hi % 3 })
    }

    fn key(&self, _: ObjectId) -> Option<[u8; 64]> {
        Key::new([0; 32]).as_bytes().try_into().ok()
    }
}

/// A signature is good if its first byte is even.
struct Even;

impl Verifier for Even {
    fn verify(&self, _: &PublicKey, _: &[u8], signature: &Signature) -> bool {
        signature[0].is_multiple_of(2)
    }
}

/// What is only checked to refuse other bytes is put right, so that what comes after it is
/// reached; the first byte says whether.
fn made_honest(header: &mut Bytes, records: &mut [Bytes]) {
    *header = link_header(header);
    let mut before: Option<([u8; 32], [u8; 16])> = None;
    for record in records {
        let how = record[0];
        match how % 4 {
            0 => record[..8].fill(0),
            1 => record[..8].copy_from_slice(&MASK_MAGIC.to_le_bytes()),
            _ => record[..8].copy_from_slice(&GRANT_MAGIC.to_le_bytes()),
        }
        record[8..12].copy_from_slice(&SECURITY_VERSION.to_le_bytes());
        record[12] &= 63;
        record[13..16].fill(0);
        if how % 4 < 2 {
            record[32..].fill(0);
            continue;
        }
        record[144..192].fill(0);
        if how & 8 == 0 {
            record[32..48].copy_from_slice(CONTEXT.as_bytes());
        }
        if how & 16 == 0 {
            record[64..88].fill(0);
        }
        match before {
            Some((parent, accessor)) if how & 32 != 0 => {
                record[48..64].copy_from_slice(&accessor);
                record[112..144].copy_from_slice(&parent);
            }
            _ => {
                record[48..64].fill(0);
                record[112..144].fill(0);
            }
        }
        if let Ok(Record::Grant(grant)) = Record::parse(record) {
            let mut accessor = [0; 16];
            accessor.copy_from_slice(grant.accessor.as_bytes());
            before = Some((link::digest(&grant), accessor));
        }
    }
}

fn link_header(old: &Bytes) -> Bytes {
    let mut header = twz_abi::security::ContextHeader::new(CONTEXT, Policy::OPEN);
    let policy = Policy { mask: Rights(u32::from(old[32]) & 63), flags: u32::from(old[34]) & 3 };
    header.policy = policy_word(policy);
    let mut bytes = [0; RECORD];
    bytes.copy_from_slice(header.as_bytes());
    bytes
}

/// The most that a record can grant on its target.
fn most(records: &[Bytes], target: ObjectId) -> Rights {
    records.iter().fold(Rights::NONE, |all, record| match Record::parse(record) {
        Ok(Record::Grant(grant))
            if grant.target == target && grant.signature[0].is_multiple_of(2) =>
        {
            all.or(Rights(grant.rights))
        }
        _ => all,
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else { return };
    let mut chunks = data.chunks_exact(RECORD).map(|chunk| Bytes::read_from_bytes(chunk).unwrap());
    let Some(mut header) = chunks.next() else { return };
    let mut records: Vec<Bytes> = chunks.take(64).collect();
    if how % 8 != 0 {
        made_honest(&mut header, &mut records);
    }
    let mut links = vec![Link::EMPTY; records.len()];
    let Ok((policy, count)) = link::read(CONTEXT, &header, &records, &mut links) else { return };
    links.truncate(count);
    link::judge(&records, &mut links, &[], &Everything, &Even).expect("nobody breaks it off");
    let loaded = Loaded { id: CONTEXT, policy, records: &records, links: &links };
    let mut slots = vec![Slot::EMPTY; rules::slots_for(count)];
    let mut gates = vec![Gates::EMPTY; count];
    let now = u64::from(how) << 8;
    let mut epoch = |id| Everything.object(id).map(|object| object.epoch);
    let built = rules::build(&loaded, now, 77, &mut epoch, &mut slots, &mut gates)
        .expect("there is as much room as it asks for");
    assert!(built.next.is_none_or(|next| next > now));
    let allowed = Rules::new(policy, 77, &slots, &gates);
    for record in &records {
        let target = match Record::parse(record) {
            Ok(Record::Grant(grant)) => grant.target,
            Ok(Record::Mask(mask)) => mask.target,
            _ => continue,
        };
        let default = Rights::DEFAULT;
        let rights = allowed.allowed(target, default, false);
        assert!(default.or(most(&records, target)).contains(rights), "more than was granted");
        let spot = Spot { id: target, default, immutable: false, at: DATA_START };
        let attempt = Attempt { access: Access::Execute, on: spot, code: Some(spot), alone: true };
        if may_switch(&Rules::DEFAULT, &allowed, &attempt).is_ok() {
            assert!(rights.contains(Rights::EXEC), "entered without the right");
        }
    }
});
