// SPDX-License-Identifier: MIT OR Apache-2.0
//! Help, manual, completions, colours: the command as part of a system.

use std::fs;

use crate::world::World;

/// Every command, by the words that call it.
pub const COMMANDS: [&str; 71] = [
    "",
    "pool",
    "pool init",
    "pool info",
    "pool check",
    "pool copy",
    "new",
    "ls",
    "info",
    "cat",
    "write",
    "cp",
    "rm",
    "resize",
    "name",
    "name ls",
    "name bind",
    "name unbind",
    "name mv",
    "name mkdir",
    "name rmdir",
    "name resolve",
    "fot",
    "retarget",
    "graph",
    "export",
    "import",
    "key",
    "key new",
    "key ls",
    "key show",
    "ctx",
    "ctx new",
    "ctx ls",
    "ctx show",
    "ctx set",
    "ctx mask",
    "ctx load",
    "ctx compact",
    "cap",
    "cap ls",
    "cap rm",
    "cap export",
    "cap add",
    "grant",
    "delegate",
    "revoke",
    "why",
    "attach",
    "run",
    "daemon",
    "daemon status",
    "daemon metrics",
    "daemon keys",
    "daemon new-key",
    "daemon new-context",
    "audit",
    "threads",
    "threads add",
    "threads show",
    "threads remove",
    "threads resume",
    "mount",
    "umount",
    "completions",
    "man",
    "version",
    "help pool",
    "help name ls",
    "help graph",
    "help threads add",
];

#[test]
fn every_help_has_an_example() {
    let world = World::empty();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let flag = (!command.starts_with("help")).then_some(flag);
            let help = world.run(command.split_whitespace().chain(flag)).ok();
            let examples = help.split_once("EXAMPLES\n").map_or("", |(_, examples)| examples);
            assert!(examples.contains("twz "), "twz {command} {flag:?}: {help}");
        }
    }
}

/// No command is missing from the list above: what help lists is what is tested.
#[test]
fn every_command_is_known_here() {
    let world = World::empty();
    for noun in ["", "pool", "name", "threads", "key", "ctx", "cap", "daemon"] {
        let help = world.run(noun.split_whitespace().chain(["-h"])).ok();
        let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
        for line in list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let verb = line.split_whitespace().next().unwrap();
            let command = format!("{noun} {verb}");
            assert!(verb == "help" || COMMANDS.contains(&command.trim()), "twz {command}");
        }
    }
}

#[test]
fn the_help_explains_the_exit_codes() {
    let help = World::empty().run(["help"]).ok();
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let world = World::empty();
    let dir = world.path("man");
    world.run(["man", dir.to_str().unwrap()]).ok();
    for command in COMMANDS.iter().filter(|command| !command.starts_with("help")) {
        let page = format!("twz {command}").trim().replace(' ', "-") + ".1";
        let text = fs::read_to_string(dir.join(&page)).unwrap_or_else(|_| panic!("no {page}"));
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", "EXAMPLES", "EXIT CODES"] {
            assert!(text.contains(part), "{part} is missing in {page}");
        }
    }
    let pages = fs::read_dir(&dir).unwrap().count();
    assert_eq!(pages, COMMANDS.iter().filter(|command| !command.starts_with("help")).count());
    world.file("taken", b"");
    world.run(["man", "taken"]).fails(1, &["taken"]);
}

#[test]
fn every_shell_has_its_completions() {
    let world = World::empty();
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef twz"), ("fish", "complete -c twz")]
    {
        let script = world.run(["completions", shell]).ok();
        assert!(script.contains(sign) && script.contains("retarget"), "{shell}");
    }
    let script = world.file("twz.bash", &world.run(["completions", "bash"]).output.stdout);
    let parsed = std::process::Command::new("bash").arg("-n").arg(script).status().unwrap();
    assert!(parsed.success());
}

#[test]
fn colour_is_for_terminals_or_on_demand() {
    let world = World::new();
    world.object("/a", b"x");
    assert!(!world.run(["ls"]).ok().contains('\u{1b}'));
    assert!(world.run(["ls", "--color", "always"]).ok().contains("\u{1b}[1mID"));
    assert!(!world.run(["ls", "--color=never"]).ok().contains('\u{1b}'));
    assert!(world.run(["cat", "/none", "--color=always"]).stderr().starts_with("\u{1b}[1;31m"));
    assert!(!world.run(["cat", "/none"]).stderr().contains('\u{1b}'));
    assert!(!world.run(["frobnicate"]).stderr().contains('\u{1b}'));
}

#[test]
fn quiet_leaves_out_only_what_says_it_is_done() {
    let world = World::new();
    let id = world.run(["new", "-q", "--name", "/a"]).ok();
    assert_eq!(id.trim().len(), 32);
    assert_eq!(world.run(["resize", "/a", "9", "--quiet"]).ok(), "");
    assert!(!world.run(["resize", "/a", "8"]).ok().is_empty());
    assert!(!world.run(["cat", "/none", "-q"]).stderr().is_empty());
}

#[test]
fn versions_are_told() {
    let world = World::empty();
    let text = world.run(["version"]).ok();
    assert!(text.contains("format") && text.contains("embedded") && text.contains("isolation"));
    assert!(world.run(["--version"]).ok().starts_with("twz "));
}
