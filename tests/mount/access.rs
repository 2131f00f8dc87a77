// SPDX-License-Identifier: MIT OR Apache-2.0
//! Access control lists: what is set, what is made gets, and the kernel heeds, the same as in a
//! directory of the host's.

use std::{fs, path::Path};

use nix::errno::Errno;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::place::{Home, Place, everywhere, has};

const PROGRAMS: [&str; 3] = ["setfacl", "getfacl", "setpriv"];

/// Says what comes of lists in the directory where it runs. (A shell may have a setpriv of its
/// own, which knows no users.)
const SCRIPT: &str = r#"
show() { for file; do echo "$file $(stat -c %a $file) $(getfacl -ncs $file | tr '\n' ' ')"; done; }
as() { user=$1; shift; /usr/bin/setpriv --reuid $user --regid $user --clear-groups "$@" 2>/dev/null && echo "$user may" || echo "$user may not"; }
umask 027
mkdir d
echo bytes >d/a
setfacl -m u:12:rw,g:34:r d/a
chmod 751 d
show d d/a
as 12 sh -c 'echo more >>d/a'
as 34 cat d/a
as 56 cat d/a
setfacl -d -m u:12:rwx,o:r d
umask 077
echo x >d/b
mkdir d/e
mkfifo d/e/pipe
ln -s nowhere d/e/link
show d d/b d/e d/e/pipe
getfacl -ncs d/e/link 2>/dev/null || true
chmod 600 d/b
show d/b
as 12 cat d/b
chmod 660 d/b
as 12 cat d/b
cp -p d/a d/copy
mv d/b d/e/b
ln d/a d/linked
show d/copy d/e/b d/linked
setfacl -m u::rw,g::r,o::- d/copy
setfacl -b d/a
setfacl -k d
show d/copy d/linked d
umask 022
touch d/last
show d/last
touch of
chown 12:34 of
chmod 2755 of
as 12 setfacl -m u:56:r of
show of
"#;

#[test]
fn lists_are_heeded_and_handed_on() {
    let test = "access::lists_are_heeded_and_handed_on";
    if !has(test, &PROGRAMS) {
        return;
    }
    everywhere(test, |place| {
        let said = place.shell(SCRIPT);
        assert!(said.contains("d/a 660 user::rw- user:12:rw-"), "{said}");
        assert!(said.contains("34 may\n56 may not\n"), "{said}");
        let left = "for file in d/copy d/e d/e/b d/e/pipe; do getfacl -ncs $file; done";
        let before = place.shell(left);
        assert!(before.contains("default:user:12:rwx"), "{before}");
        place.again();
        assert_eq!(place.shell(left), before, "after it was mounted again");
        // The host's own, if it has any.
        fs::create_dir(place.beside("host")).expect("made");
        if place.shell("setfacl -m u:12:r ../host 2>/dev/null || echo none").is_empty() {
            let host = place.shell(&format!("setfacl -b ../host; cd ../host\n{SCRIPT}"));
            assert_eq!(said, host, "on {:?}", place.home);
        }
    });
}

#[test]
fn what_is_no_list_is_refused() {
    everywhere("access::what_is_no_list_is_refused", |place| {
        let (file, dir) = (place.at("file"), place.at("dir"));
        fs::write(&file, "x").expect("written");
        fs::create_dir(&dir).expect("made");
        let (access, default) = ("system.posix_acl_access", "system.posix_acl_default");
        let set = |path: &Path, name: &str, bytes: &[u8]| {
            setxattr(path, name, bytes, XattrFlags::empty())
        };
        let entry = |tag: u8, rights: u8| [tag, 0, rights, 0, 255, 255, 255, 255];
        let list = |entries: &[[u8; 8]]| [&[2, 0, 0, 0][..], entries.as_flattened()].concat();
        let least = list(&[entry(1, 6), entry(4, 4), entry(32, 0)]);
        set(&file, access, &least).expect("a list");
        assert_eq!(mode(place, "file"), "640");
        let none =
            getxattr(&file, access, &mut [0; 100][..]).expect_err("it says what a mode does");
        assert_eq!(none.raw_os_error(), Errno::ENODATA as i32);
        let wrong =
            [list(&[entry(1, 6)]), list(&[entry(4, 4), entry(1, 6), entry(32, 0)]), vec![7]];
        for bytes in &wrong {
            assert!(set(&file, access, bytes).is_err(), "{bytes:?}");
            assert!(set(&dir, default, bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(
            set(&file, default, &least).expect_err("no directory"),
            rustix::io::Errno::ACCESS
        );
        assert_eq!(mode(place, "file"), "640");
        // A damaged one is not none, for then it would keep nobody out, and is set anew.
        let user = [2, 0, 4, 0, 12, 0, 0, 0];
        let named = list(&[entry(1, 6), user, entry(4, 4), entry(16, 6), entry(32, 0)]);
        if place.home == Home::Directory {
            set(&file, access, &named).expect("a list");
            let kept = place.pool().join("names/file");
            set(&kept, "user.twz.posix_acl_access", b"damaged").expect("on the host's file");
            place.again();
            let damaged = getxattr(&file, access, &mut [0; 100][..]).expect_err("it is damaged");
            assert_eq!(damaged, rustix::io::Errno::IO);
            set(&file, access, &named).expect("a list");
            let length = getxattr(&file, access, &mut [0; 100][..]).expect("it is whole");
            assert_eq!(length, named.len());
        }
        // By their other name they are nobody's.
        let other = set(&file, "user.twz.posix_acl_access", &least);
        assert_eq!(other.expect_err("not by hand"), rustix::io::Errno::PERM);
    });
}

fn mode(place: &Place, name: &str) -> String {
    place.shell(&format!("stat -c %a {name}")).trim_end().to_owned()
}
