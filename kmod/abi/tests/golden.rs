// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The golden layout: every structure, field by field, and every command, as
//! the compiler sees them, against `golden/layout.txt`. A difference is a
//! change of format: it needs a new version or a feature bit, and then
//! `TWZ_BLESS=1 cargo test -p twz-abi --test golden` writes the file anew.

use std::{fmt::Write as _, fs, path::Path};

use twz_abi::{ioctl, layout};

fn describe() -> String {
    let mut text = format!("format {} abi {}\n", twz_abi::FORMAT_VERSION, ioctl::ABI_VERSION);
    for layout in layout::ALL {
        writeln!(text, "\n{} size {} align {}", layout.name, layout.size, layout.align).unwrap();
        let ends = layout.fields.iter().skip(1).map(|f| f.offset).chain([layout.size]);
        for (field, end) in layout.fields.iter().zip(ends) {
            writeln!(text, "  {:5} {:5}  {}", field.offset, end - field.offset, field.name)
                .unwrap();
        }
    }
    text.push('\n');
    for command in ioctl::COMMANDS {
        writeln!(text, "{:#010x} {:4} {}", command.number, command.size, command.name).unwrap();
    }
    text
}

#[test]
fn the_layout_is_the_golden_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/layout.txt");
    let now = describe();
    if std::env::var_os("TWZ_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let golden = fs::read_to_string(&path).expect("golden/layout.txt is part of the crate");
    assert!(now == golden, "the layout has drifted from golden/layout.txt; it is now:\n{now}");
}
