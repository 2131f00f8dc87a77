// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the store twzkvs is compared with is one: against a model, and reopened.

use std::collections::HashMap;

use unixkvs::UnixKvs;

fn against_a_model<const W: usize>(durable: bool, steps: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut kvs = UnixKvs::<W>::create(dir.path(), 0).unwrap();
    kvs.set_durable(durable);
    let (mut model, mut state) = (HashMap::<Vec<u8>, Vec<u8>>::new(), 9u64);
    let mut dice = |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for step in 0..steps {
        let n = dice(2000);
        let key: Vec<u8> =
            n.to_le_bytes().into_iter().cycle().take([8, 8, 16, 3, 40][n as usize % 5]).collect();
        match dice(4) {
            0 => assert_eq!(kvs.delete(&key).unwrap(), model.remove(&key).is_some()),
            1 => assert_eq!(kvs.get(&key).unwrap(), model.get(&key).map(|value| &value[..])),
            _ => {
                let value = vec![step as u8; dice(300) as usize];
                kvs.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        assert_eq!(kvs.len(), model.len() as u64);
    }
    drop(kvs);
    let kvs = UnixKvs::<W>::open(dir.path()).unwrap();
    let all: HashMap<_, _> =
        kvs.iter().map(|pair| pair.map(|(key, value)| (key, value.to_vec())).unwrap()).collect();
    assert_eq!(all, model);
    assert!(UnixKvs::<7>::open(dir.path()).is_err());
}

#[test]
fn it_does_what_a_map_does() {
    against_a_model::<1>(false, 20_000);
    against_a_model::<2>(false, 20_000);
    against_a_model::<2>(true, 500);
}

#[test]
fn another_process_sees_what_was_added_past_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut kvs = UnixKvs::<1>::create(dir.path(), 0).unwrap();
    let other = UnixKvs::<1>::open(dir.path()).unwrap();
    for n in 0..5000u64 {
        kvs.put(&n.to_le_bytes(), &vec![n as u8; n as usize % 900]).unwrap();
        let seen = other.get(&n.to_le_bytes()).unwrap();
        assert_eq!(seen, Some(&vec![n as u8; n as usize % 900][..]));
    }
}
