// SPDX-License-Identifier: MIT OR Apache-2.0
//! An access control list, as programs set it and the kernel reads it: who else may do what,
//! beside owner, group and others. [`super::access`] keeps them.

/// Version of the bytes.
const VERSION: u32 = 2;
/// Bytes of an entry.
const ENTRY: usize = 8;

/// Whom an entry is about, in the order in which they come.
const OWNER: u16 = 1;
const USER: u16 = 2;
const GROUP: u16 = 4;
const NAMED_GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHERS: u16 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    rights: u16,
    id: u32,
}

/// A list that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// The list that bytes are, if it is one: owner, group and others once each, and a mask
    /// where it names anybody.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let (entries, []) = rest.as_chunks::<ENTRY>() else { return None };
        if u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let entries: Vec<Entry> = entries.iter().map(Entry::parse).collect();
        let acl = Self(entries);
        let once = |tag| acl.0.iter().filter(|entry| entry.tag == tag).count() == 1;
        let ordered = acl.0.is_sorted_by_key(|entry| entry.tag);
        let known = acl.0.iter().all(|entry| {
            entry.rights <= 7
                && [OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHERS].contains(&entry.tag)
        });
        let masks = acl.0.iter().filter(|entry| entry.tag == MASK).count();
        let whole = [OWNER, GROUP, OTHERS].into_iter().all(once);
        (ordered && known && whole && masks <= 1 && (masks == 1 || !acl.names_any())).then_some(acl)
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.rights.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    fn names_any(&self) -> bool {
        self.0.iter().any(|entry| [USER, NAMED_GROUP].contains(&entry.tag))
    }

    /// Whether it says no more than a mode does.
    pub fn is_mode(&self) -> bool {
        self.0.len() == 3
    }

    /// The entry that a mode shows for the group: the mask, where there is one.
    fn class(&self) -> u16 {
        if self.0.iter().any(|entry| entry.tag == MASK) { MASK } else { GROUP }
    }

    /// The nine bits that a mode shows of it.
    pub fn mode(&self) -> u32 {
        let class = self.class();
        let bits = self.0.iter().map(|entry| match entry.tag {
            OWNER => u32::from(entry.rights) << 6,
            tag if tag == class => u32::from(entry.rights) << 3,
            OTHERS => u32::from(entry.rights),
            _ => 0,
        });
        bits.sum()
    }

    /// What chmod(2) makes of it.
    pub fn set_mode(&mut self, mode: u32) {
        self.each_bits(|rights, bits| *rights = bits, mode);
    }

    /// What it is for a file that is made with a mode, of the list that its directory has
    /// for what is made there.
    pub fn limit(&mut self, mode: u32) {
        self.each_bits(|rights, bits| *rights &= bits, mode);
    }

    fn each_bits(&mut self, change: impl Fn(&mut u16, u16), mode: u32) {
        let class = self.class();
        for entry in &mut self.0 {
            let shift = match entry.tag {
                OWNER => 6,
                tag if tag == class => 3,
                OTHERS => 0,
                _ => continue,
            };
            change(&mut entry.rights, (mode >> shift & 7) as u16);
        }
    }
}

impl Entry {
    fn parse(bytes: &[u8; ENTRY]) -> Self {
        let [a, b, c, d, id @ ..] = *bytes;
        let (tag, rights) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        Self { tag, rights, id: u32::from_le_bytes(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |&(tag, rights, id): &_| Entry { tag, rights, id };
        Acl(entries.iter().map(entry).collect()).bytes()
    }

    #[test]
    fn a_list_is_whole_and_in_order() {
        let least = [(OWNER, 6, 0), (GROUP, 4, 0), (OTHERS, 0, 0)];
        let acl = Acl::parse(&list(&least)).unwrap();
        assert!(acl.is_mode());
        assert_eq!(acl.mode(), 0o640);
        let named = [(OWNER, 7, 0), (USER, 6, 5), (GROUP, 4, 0), (MASK, 2, 0), (OTHERS, 1, 0)];
        let bytes = list(&named);
        let acl = Acl::parse(&bytes).unwrap();
        assert!(!acl.is_mode());
        assert_eq!((acl.mode(), acl.bytes()), (0o721, bytes));
        for n in 0..named.len() {
            let mut less = named.to_vec();
            less.remove(n);
            let needed = named[n].0 != USER;
            assert_eq!(Acl::parse(&list(&less)).is_none(), needed, "without {:?}", named[n]);
            let mut twice = named.to_vec();
            twice.insert(n, named[n]);
            assert_eq!(Acl::parse(&list(&twice)).is_none(), needed, "twice {:?}", named[n]);
            let mut more = named.to_vec();
            more[n].1 = 8;
            assert_eq!(Acl::parse(&list(&more)), None);
        }
        let wrong = [(GROUP, 4, 0), (OWNER, 6, 0), (OTHERS, 0, 0)];
        assert_eq!(Acl::parse(&list(&wrong)), None);
        let bytes = list(&named);
        assert!((0..bytes.len()).all(|end| Acl::parse(&bytes[..end]).is_none()));
        assert_eq!(Acl::parse(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn a_mode_is_the_owners_the_masks_and_the_others() {
        let named = [(OWNER, 7, 0), (USER, 6, 5), (GROUP, 5, 0), (MASK, 7, 0), (OTHERS, 5, 0)];
        let mut acl = Acl::parse(&list(&named)).unwrap();
        acl.limit(0o640);
        assert_eq!(acl.mode(), 0o640);
        assert_eq!(acl.0[1].rights, 6, "who is named stays so, under the mask");
        acl.set_mode(0o777);
        assert_eq!((acl.mode(), acl.0[2].rights), (0o777, 5));
        let least = [(OWNER, 6, 0), (GROUP, 6, 0), (OTHERS, 6, 0)];
        let mut acl = Acl::parse(&list(&least)).unwrap();
        acl.limit(0o751);
        assert_eq!(acl.mode(), 0o640);
    }
}
