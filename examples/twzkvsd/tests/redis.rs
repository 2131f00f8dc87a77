// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server, as its clients see it: over both kinds of socket, with pipelines and
//! with anything at all, from Debian's own redis-cli and redis-benchmark, and killed.

#[path = "../../../libtwz/tests/common/pool.rs"]
mod pool;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Server {
    process: Child,
    port: u16,
    socket: PathBuf,
}

impl Server {
    fn start(pool: &pool::TempPool, args: &[&str]) -> Self {
        let socket = pool.dir().join("socket");
        let mut process = Command::new(env!("CARGO_BIN_EXE_twzkvsd"))
            .args(["--port", "0", "--unix"])
            .arg(&socket)
            .args(args)
            .env("TWZ_POOL", pool.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let port = first.rsplit(':').next().unwrap().parse().unwrap();
        assert!(lines.next().unwrap().unwrap().contains("socket"));
        Self { process, port, socket }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// What is answered to these bytes, to the end of the connection.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.tcp();
        stream.write_all(bytes).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn each_command_answers() {
    let pool = pool::TempPool::new();
    let server = Server::start(&pool, &[]);
    for (asked, answer) in [
        ("PING\r\n", "+PONG\r\n"),
        ("ping hello\r\n", "$5\r\nhello\r\n"),
        ("SET k value\r\nGET k\r\n", "+OK\r\n$5\r\nvalue\r\n"),
        ("GET none\r\n", "$-1\r\n"),
        ("MSET a 1 b 2\r\nMGET a none b\r\n", "+OK\r\n*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n"),
        ("EXISTS a b none a\r\n", ":3\r\n"),
        ("DBSIZE\r\n", ":3\r\n"),
        ("SCAN 0 MATCH ? COUNT 100\r\n", "*2\r\n$1\r\n0\r\n*3\r\n"),
        ("DEL a none b\r\n", ":2\r\n"),
        ("STRLEN k\r\n", ":5\r\n"),
        ("SELECT 0\r\nSELECT 1\r\n", "+OK\r\n-ERR DB index is out of range\r\n"),
        ("CONFIG GET save\r\n", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        ("COMMAND DOCS\r\n", "*0\r\n"),
        ("GET\r\n", "-ERR wrong number of arguments\r\n"),
        ("SET a b EX 1\r\n", "-ERR syntax error: SET takes no options here\r\n"),
        ("LPUSH a b\r\n", "-ERR unknown command 'LPUSH'\r\n"),
        ("SCAN x\r\n", "-ERR invalid cursor\r\n"),
        (
            "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
            "+OK\r\n$2\r\n\r\n\r\n",
        ),
    ] {
        let seen = server.ask(asked.as_bytes());
        assert!(seen.starts_with(answer), "{asked:?}: {seen:?}");
        assert!(seen.len() == answer.len() || asked.starts_with("SCAN 0"), "{asked:?}: {seen:?}");
    }
    assert!(server.ask(b"INFO\r\n").contains("mode:volatile\r\n"));
}

#[test]
fn a_pipeline_is_answered_in_order_however_it_is_cut() {
    let pool = pool::TempPool::new();
    let server = Server::start(&pool, &[]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    let large = "x".repeat(100_000);
    let (mut asked, mut expected) = (String::new(), String::new());
    for n in 0..300 {
        let value = if n % 50 == 0 { &large[..] } else { "small" };
        asked += &format!("*3\r\n$3\r\nSET\r\n$4\r\nk{n:03}\r\n${}\r\n{value}\r\n", value.len());
        asked += &format!("*2\r\n$3\r\nGET\r\n$4\r\nk{n:03}\r\n");
        expected += &format!("+OK\r\n${}\r\n{value}\r\n", value.len());
    }
    let mut answers = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut answer = vec![0; expected.len()];
        answers.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected.as_bytes());
    });
    for part in asked.as_bytes().chunks(777) {
        stream.write_all(part).unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn a_client_that_does_not_read_waits_and_then_gets_everything() {
    let pool = pool::TempPool::new();
    let server = Server::start(&pool, &[]);
    let mut stream = server.tcp();
    let large = vec![b'x'; 4 << 20];
    stream
        .write_all(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", large.len()).as_bytes())
        .unwrap();
    stream.write_all(&large).unwrap();
    stream.write_all(b"\r\n").unwrap();
    // More than the server keeps for one client.
    (0..30).for_each(|_| stream.write_all(b"GET k\r\n").unwrap());
    assert_eq!(server.ask(b"PING\r\n"), "+PONG\r\n", "one client stops the others");
    stream.write_all(b"QUIT\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 5 + 30 * ("$4194304\r\n\r\n".len() + large.len()) + 5);
}

#[test]
fn nothing_that_is_sent_stops_it() {
    let pool = pool::TempPool::new();
    let server = Server::start(&pool, &[]);
    let mut state = 3u64;
    let mut dice = |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let parts: [&[u8]; 14] = [
        b"*3\r\n",
        b"$3\r\nSET\r\n",
        b"$1\r\nk\r\n",
        b"*2\r\n",
        b"$3\r\nGET\r\n",
        b"$-1\r\n",
        b"*1000000\r\n",
        b"SCAN 0 MATCH\r\n",
        b"SCAN 18446744073709551615 COUNT 0\r\n",
        b"\r\n",
        b"MGET k k\r\n",
        b"\0\xff",
        b"$536870912\r\n",
        b"DEL k\r\n",
    ];
    for _ in 0..300 {
        let mut stream = server.tcp();
        for _ in 0..dice(12) {
            // It may have had enough.
            let _ = stream.write_all(parts[dice(parts.len() as u64) as usize]);
        }
        if dice(2) == 0 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 100]);
        }
    }
    assert_eq!(server.ask(b"PING\r\n"), "+PONG\r\n");
}

#[test]
fn what_a_durable_server_answered_is_there_after_a_kill() {
    let pool = pool::TempPool::new();
    let mut put = 0;
    for round in 0..3 {
        let server = Server::start(&pool, &["--durable"]);
        assert!(server.ask(b"INFO\r\n").contains("mode:durable\r\n"));
        for n in 0..put {
            assert_eq!(
                server.ask(format!("GET key-{n}\r\n").as_bytes()),
                format!("$2\r\n{:02}\r\n", n % 100)
            );
        }
        let mut stream = BufReader::new(server.tcp());
        for _ in 0..20 + round {
            let asked = format!("SET key-{put} {:02}\r\n", put % 100);
            stream.get_mut().write_all(asked.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).unwrap();
            assert_eq!(answer, "+OK\r\n");
            put += 1;
        }
    }
}

/// Sets `key` to rising numbers, four at a time; the last one that was answered.
fn set_until_it_ends(mut stream: BufReader<TcpStream>, key: usize) -> u64 {
    let mut set = 0;
    loop {
        let asked: String = (1..=4).map(|n| format!("SET key-{key} {}\r\n", set + n)).collect();
        if stream.get_mut().write_all(asked.as_bytes()).is_err() {
            return set;
        }
        for _ in 0..4 {
            let mut answer = String::new();
            match stream.read_line(&mut answer) {
                Ok(5) => assert_eq!(answer, "+OK\r\n"),
                _ => return set,
            }
            set += 1;
        }
    }
}

#[test]
fn what_many_were_answered_at_once_is_there_after_a_kill() {
    let pool = pool::TempPool::new();
    for round in 0..3 {
        let server = Server::start(&pool, &["--durable"]);
        // Some keys are new, and some are there.
        let keys = round * 3..round * 3 + 6;
        let clients: Vec<_> = keys
            .map(|key| {
                let stream = BufReader::new(server.tcp());
                (key, std::thread::spawn(move || set_until_it_ends(stream, key)))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400));
        drop(server);
        let server = Server::start(&pool, &["--durable"]);
        for (key, client) in clients {
            let set = client.join().unwrap();
            let there = server.ask(format!("GET key-{key}\r\n").as_bytes());
            let there: u64 = there.lines().nth(1).map_or(0, |number| number.parse().unwrap());
            // Of those that were asked last, any may be there.
            assert!((set..=set + 4).contains(&there), "key-{key}: {set} answered, {there} there");
            server.ask(format!("SET key-{key} 0\r\n").as_bytes());
        }
    }
}

/// What the server asks of the system while these bytes are answered.
fn system_calls(server: &Server, bytes: &[u8]) -> Vec<String> {
    let trace = server.socket.with_extension("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=msync,fsync,sendto", "-p"])
        .arg(server.process.id().to_string())
        .arg("-o")
        .arg(&trace)
        .spawn()
        .unwrap();
    // It is there when it has seen something.
    let calls = || std::fs::read_to_string(&trace).unwrap_or_default();
    while calls().is_empty() {
        assert!(strace.try_wait().unwrap().is_none(), "strace ended");
        server.ask(b"PING\r\n");
    }
    server.ask(b"PING before\r\n");
    server.ask(bytes);
    server.ask(b"PING after\r\n");
    while !calls().contains("after") {
        std::thread::sleep(Duration::from_millis(10));
    }
    // SIGINT detaches.
    let stopped = Command::new("kill").args(["-INT", &strace.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    strace.wait().unwrap();
    let own = |line: &&str| !line.contains("before") && !line.contains("after");
    let all = calls();
    let from = all.find("before").unwrap();
    all[from..all.rfind("after").unwrap()].lines().skip(1).filter(own).map(String::from).collect()
}

#[test]
fn nothing_is_answered_before_it_is_synced_and_all_of_it_is_synced_once() {
    let test = "nothing_is_answered_before_it_is_synced_and_all_of_it_is_synced_once";
    let traces = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !traces.is_ok_and(|status| status.success()) {
        return pool::skip(test, "strace cannot trace here");
    }
    let pool = pool::TempPool::within(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(pool.dir()).output().unwrap();
    if kind.stdout.starts_with(b"tmpfs") || pool::on_kernel() {
        return pool::skip(test, "the pool is not on a page cache: there is nothing to sync");
    }
    let server = Server::start(&pool, &["--durable"]);
    let set: String = (0..30).map(|n| format!("SET key-{n} value\r\n")).collect();
    let answer = "+OK\r\n".repeat(30);
    assert_eq!(server.ask(set.as_bytes()), answer);
    let calls = system_calls(&server, (set.clone() + "GET key-7\r\n").as_bytes());
    // All of the answers go out at once. (One +OK may do so before: to the QUIT of whoever
    // asked before, if that was read by itself.)
    let length = |call: &str| call.rsplit_once("= ").and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
    let all = |call: &&String| call.contains("sendto") && length(call) >= answer.len();
    let sent = calls.iter().position(|call| all(&call)).unwrap_or_else(|| panic!("{calls:?}"));
    let syncs = |calls: &[String]| calls.iter().filter(|call| call.contains("sync(")).count();
    // Values, and then pointers.
    assert_eq!((syncs(&calls[..sent]), syncs(&calls[sent..])), (2, 0), "{calls:?}");
}

/// Whether Debian's package redis-tools is there; where it is not, the test is
/// skipped, and says so.
fn tools(test: &str) -> bool {
    let there = Command::new("redis-cli").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there {
        pool::skip(test, "redis-cli is not installed (scripts/deps.sh redis)");
    }
    there
}

#[test]
fn redis_cli_talks_to_it() {
    if !tools("redis_cli_talks_to_it") {
        return;
    }
    let pool = pool::TempPool::new();
    let server = Server::start(&pool, &[]);
    let cli = |args: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &server.port.to_string()])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(cli(&["SET", "a key", "a value"]), "OK\n");
    assert_eq!(cli(&["GET", "a key"]), "a value\n");
    for n in 0..500 {
        assert_eq!(server.ask(format!("SET number:{n} x\r\n").as_bytes()), "+OK\r\n");
    }
    let mut keys: Vec<String> =
        cli(&["--scan", "--pattern", "number:*"]).lines().map(String::from).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 500);
    assert!(cli(&["INFO"]).contains("keys=501"));
    let socket = server.socket.to_string_lossy().into_owned();
    let output =
        Command::new("redis-cli").args(["-s", &socket, "GET", "number:7"]).output().unwrap();
    assert_eq!(output.stdout, b"x\n");
}

#[test]
fn redis_benchmark_runs_against_it() {
    if !tools("redis_benchmark_runs_against_it") {
        return;
    }
    let pool = pool::TempPool::in_memory();
    for mode in [&[][..], &["--durable"]] {
        let server = Server::start(&pool, mode);
        for pipeline in ["1", "16"] {
            let output = Command::new("redis-benchmark")
                .args(["-p", &server.port.to_string(), "-t", "ping,set,get,mset", "-n", "500"])
                .args(["-r", "1000", "-P", pipeline, "-q", "--csv"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "MSET (10 keys)"] {
                assert!(said.contains(&format!("\"{test}\"")), "{test}: {said}");
            }
        }
    }
}
