//! The endpoint for Prometheus: what it answers, what hostile clients can and cannot do, and a real server that scrapes it.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Directory, HANG, alone, threads_named, until};
use kakashi::{MemorySink, MetricsEndpoint, info, prometheus_text, serve_metrics};

kakashi::channel!(static DROPS: kakashi::Channel<64, 16, 2, kakashi::DropOldest>);

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
const THREAD: &str = "kakashi-metrics";

fn serve() -> MetricsEndpoint {
    serve_metrics("127.0.0.1:0").expect("a port is free")
}

/// A connection on which something was sent.
fn sent(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("somebody listens");
    stream.set_read_timeout(Some(HANG)).expect("it is no zero");
    // It may have been closed meanwhile.
    let _ = stream.write_all(bytes);
    stream
}

/// What comes back until the end.
fn ask(addr: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut answer = String::new();
    sent(addr, request.as_ref()).read_to_string(&mut answer).expect("the answer is whole");
    answer
}

/// Without whether the writer sleeps just now.
fn steady(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("kakashi_workers_active ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_scrape_has_the_figures() {
    alone("a_scrape_has_the_figures", || {
        let endpoint = serve();
        let guard = kakashi::builder().sink(MemorySink::new()).start().expect("the backend starts");
        for number in 0..1000 {
            info!("{}", number);
        }
        kakashi::flush(HANG).expect("it is written");
        let url = format!("http://{}/metrics", endpoint.local_addr());
        let mut answer = ureq::get(&url).call().expect("it is answered");
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let body = answer.body_mut().read_to_string().expect("it is UTF-8");
        assert_eq!(steady(&body), steady(&prometheus_text()));
        assert!(body.contains("\nkakashi_calls_total 1000\n"), "{body}");
        // HEAD has the same head, and nothing else.
        let got = ask(endpoint.local_addr(), GET);
        let (head, body) = got.split_once("\r\n\r\n").expect("it has a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(ask(endpoint.local_addr(), GET.replace("GET", "HEAD")), format!("{head}\r\n\r\n"));
        // It outlives the backend.
        guard.shutdown(HANG).expect("all is written");
        assert!(ask(endpoint.local_addr(), GET).contains("\nkakashi_state{state=\"stopped\"} 1\n"));
    });
}

#[test]
fn what_is_not_asked_rightly_is_refused() {
    let endpoint = serve();
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    let long = format!("GET /metrics HTTP/1.1\r\na: {}", "b".repeat(20_000));
    for (request, status) in [
        ("GET /metrics?a=b HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics/ HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", "405 Method Not Allowed"),
        ("DELETE /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"),
        ("GET /metrics\r\n\r\n", "400 Bad Request"),
        ("\u{1b}[2J\r\n\r\n", "400 Bad Request"),
        ("\0\0\0\0", "400 Bad Request"),
        ("GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", "400 Bad Request"),
        (&many, "431 Request Header Fields Too Large"),
        (&long, "431 Request Header Fields Too Large"),
    ] {
        let mut stream = sent(endpoint.local_addr(), request.as_bytes());
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is whole");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {answer}");
        assert_eq!(answer.contains("\r\nAllow: GET, HEAD\r\n"), status.starts_with("405"), "{answer}");
        // What comes behind the answer does no harm to it.
        for _ in 0..3 {
            stream.write_all(&[b'a'; 1000]).expect("it is read all the same");
        }
    }
}

#[test]
fn slow_and_hostile_clients_hold_up_nobody() {
    alone("slow_and_hostile_clients_hold_up_nobody", || {
        let endpoint = serve();
        let addr = endpoint.local_addr();
        let scraped = |what: &str| {
            let began = Instant::now();
            assert!(ask(addr, GET).contains("\nkakashi_calls_total "), "{what}");
            // Far from the time that a client has.
            assert!(began.elapsed() < Duration::from_secs(3), "{what}: {:?}", began.elapsed());
        };
        let silent: Vec<TcpStream> = (0..50).map(|_| sent(addr, b"")).collect();
        scraped("behind the silent");
        let half: Vec<TcpStream> = (0..50).map(|_| sent(addr, b"GET /metrics HTTP/1.1\r\n")).collect();
        scraped("behind half requests");
        // Answers that nobody takes, and connections that are gone at once.
        let deaf: Vec<TcpStream> = (0..50).map(|_| sent(addr, GET.as_bytes())).collect();
        (0..500).for_each(|_| drop(sent(addr, GET.as_bytes())));
        scraped("behind the deaf and the gone");
        // A head, and a body, that never end.
        for begin in ["GET /metrics HTTP/1.1\r\na: ", "POST /metrics HTTP/1.1\r\n\r\n"] {
            let mut endless = sent(addr, begin.as_bytes());
            let taken = (0..).take_while(|_| endless.write_all(&[b'a'; 64 << 10]).is_ok()).count();
            assert!(taken < 1000, "{taken} pieces of 64 KiB were taken");
        }
        scraped("behind the endless");
        assert_eq!(threads_named(THREAD), 1);
        // At most so many are held; all are closed in the end, the slow ones by the clock.
        for mut stream in silent.into_iter().chain(half).chain(deaf) {
            let ended = io::copy(&mut stream, &mut io::sink());
            let still_there = ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            assert!(!still_there, "a connection was left open");
        }
    });
}

#[test]
fn a_slow_client_is_closed_when_its_time_is_over() {
    let endpoint = serve();
    let began = Instant::now();
    let mut slow = sent(endpoint.local_addr(), b"GET /metrics");
    assert_eq!(slow.read(&mut [0]).expect("it is closed"), 0);
    assert!(began.elapsed() > Duration::from_secs(4), "after {:?}", began.elapsed());
}

#[test]
fn an_endpoint_goes_on_when_descriptors_are_free_again() {
    alone("an_endpoint_goes_on_when_descriptors_are_free_again", || {
        let endpoint = serve();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a limit is written and read.
        unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
            limit.rlim_cur = 64;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        }
        // While it looks for clients in vain, it has a descriptor for a moment itself: hence, until one is not answered.
        let mut taken = Vec::new();
        let mut waiting = loop {
            taken.extend((0..64).map_while(|_| File::open("/dev/null").ok()));
            drop(taken.pop());
            let Ok(mut client) = TcpStream::connect(endpoint.local_addr()) else { continue };
            client.write_all(GET.as_bytes()).expect("it is connected");
            client.set_read_timeout(Some(Duration::from_millis(300))).expect("it is no zero");
            if client.read(&mut [0]).is_err() {
                break client;
            }
        };
        drop(taken);
        waiting.set_read_timeout(Some(HANG)).expect("it is no zero");
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).expect("the answer is whole");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_what_to_do() {
    let endpoint = serve();
    let error = serve_metrics(endpoint.local_addr()).expect_err("the port is taken").to_string();
    let taken = format!("cannot serve metrics at {}: Address already in use", endpoint.local_addr());
    assert!(error.starts_with(&taken) && error.contains("choose another port"), "{error}");
    let error = serve_metrics("192.0.2.1:0").expect_err("it is nobody's").to_string();
    assert!(
        error.starts_with("cannot serve metrics at \"192.0.2.1:0\": ") && error.contains("127.0.0.1 is for")
    );
    let error = serve_metrics("metrics").expect_err("it is none").to_string();
    assert!(error.ends_with("an address is a host and a port, such as 127.0.0.1:9464"), "{error}");
}

#[test]
fn a_dropped_endpoint_leaves_nothing() {
    alone("a_dropped_endpoint_leaves_nothing", || {
        let endpoint = serve();
        let addr = endpoint.local_addr();
        until("the thread has its name", || threads_named(THREAD) == 1);
        let mut half = sent(addr, b"GET /metrics");
        ask(addr, GET);
        let began = Instant::now();
        drop(endpoint);
        assert!(began.elapsed() < Duration::from_secs(3), "a client was waited for");
        until("the thread is gone", || threads_named(THREAD) == 0);
        assert_eq!(half.read(&mut [0]).expect("it is closed"), 0);
        TcpStream::connect(addr).expect_err("nobody listens");
        let again = serve_metrics(addr).expect("the port is free");
        assert!(ask(again.local_addr(), GET).contains("\nkakashi_lanes "));
    });
}

#[test]
fn a_forked_child_leaves_it_to_the_parent() {
    alone("a_forked_child_leaves_it_to_the_parent", || {
        let endpoint = serve();
        let addr = endpoint.local_addr();
        // SAFETY: the child does what a program's end does to the endpoint, and is gone.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(endpoint);
            // SAFETY: it ends the process.
            unsafe { libc::_exit(7) };
        }
        let mut status = 0;
        until("the child has ended", || {
            // SAFETY: the child is this process's, and the status is written to.
            unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) == child }
        });
        assert_eq!(libc::WEXITSTATUS(status), 7);
        assert!(ask(addr, GET).starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn the_thread_takes_no_signal_and_lets_others_run_first() {
    alone("the_thread_takes_no_signal_and_lets_others_run_first", || {
        let endpoint = serve();
        ask(endpoint.local_addr(), GET);
        let tasks = fs::read_dir("/proc/self/task").expect("it is Linux");
        let thread = tasks
            .map(|task| task.expect("it is read").path())
            .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == THREAD))
            .expect("there is the thread");
        let status = fs::read_to_string(thread.join("status")).expect("it is read");
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("it is there");
        let blocked = u64::from_str_radix(blocked.trim(), 16).expect("it is a number");
        assert_ne!(blocked & 1 << (libc::SIGTERM - 1), 0, "{blocked:x}");
        let stat = fs::read_to_string(thread.join("stat")).expect("it is read");
        let nice = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16));
        assert_eq!(nice, Some("19"), "{stat}");
    });
}

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a Prometheus server answers to a question to its interface.
fn asked(api: &str, question: &str) -> Option<serde_json::Value> {
    let mut answer = ureq::get(format!("{api}/{question}")).call().ok()?;
    let answer: serde_json::Value =
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).expect("it is JSON");
    assert_eq!(answer["status"], "success", "{question}: {answer}");
    Some(answer["data"].clone())
}

/// The samples of its last scrape, as they stand in the text.
fn scraped(api: &str) -> Option<BTreeMap<String, f64>> {
    let data = asked(api, "query?query=%7Bjob%3D%22kakashi%22%2C__name__%3D~%22kakashi_.%2A%22%7D")?;
    let samples = data["result"].as_array().expect("a list").iter().map(|sample| {
        let metric = &sample["metric"];
        let text = |name: &str| metric[name].as_str().map(str::to_owned);
        let label = |name: &str| text(name).map(|value| format!("{{{name}=\"{value}\"}}"));
        let name = text("__name__").expect("it has a name");
        let labels = label("cause").or(label("state")).unwrap_or_default();
        let value = sample["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a number");
        (name + &labels, value)
    });
    Some(samples.collect())
}

#[test]
fn a_prometheus_server_has_what_was_logged() {
    if ["prometheus", "promtool"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        let why = "no `prometheus` and `promtool` here; scripts/prometheus.sh installs and runs them";
        let _ = writeln!(io::stderr(), "SKIPPED: a_prometheus_server_has_what_was_logged: {why}");
        return;
    }
    alone("a_prometheus_server_has_what_was_logged", || {
        let endpoint = serve();
        let folder = Directory::new();
        let config = format!(
            "global: {{ scrape_interval: 1s }}\n\
             scrape_configs: [{{ job_name: kakashi, static_configs: [{{ targets: ['{}'] }}] }}]\n",
            endpoint.local_addr()
        );
        fs::write(folder.file("config.yml"), config).expect("the file is written");
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port is free");
        let log = File::create(folder.file("server.log")).expect("the file is made");
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.file("config.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.file("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log)
            .spawn();
        let mut server = Server(server.expect("the server starts"));
        let api = format!("http://{free}/api/v1");
        let guard = kakashi::builder().sink(MemorySink::new()).start().expect("the backend starts");

        // What goes up between scrapes is seen by the next one.
        for round in 1..=3_u64 {
            for number in 0..10_000 {
                info!(common::SURE, "{}", number);
                info!(DROPS, "{}", number);
            }
            kakashi::flush(HANG).expect("it is written");
            until("the server has scraped it", || {
                if let Some(status) = server.0.try_wait().expect("it is this process's") {
                    let log = fs::read_to_string(folder.file("server.log")).unwrap_or_default();
                    panic!("the server has ended, {status}:\n{log}");
                }
                std::thread::sleep(Duration::from_millis(100));
                scraped(&api)
                    .is_some_and(|of| of.get("kakashi_calls_total") == Some(&(round as f64 * 20_000.0)))
            });
        }
        let stats = common::conserved();
        let samples = scraped(&api).expect("it was there before");
        assert_eq!(samples["kakashi_messages_written_total"], stats.messages_written as f64);
        let dropped = samples["kakashi_messages_dropped_total{cause=\"oldest\"}"];
        assert_eq!((dropped, dropped > 0.0), (stats.messages_dropped as f64, true));
        assert_eq!(samples["kakashi_state{state=\"running\"}"], 1.0);

        // It has every figure, with its type and its help.
        let text = prometheus_text();
        let shown = text.lines().filter(|line| !line.starts_with('#'));
        let shown: Vec<&str> = shown.filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
        assert!(shown.len() > 30 && shown.len() == samples.len(), "{samples:?}");
        assert!(shown.iter().all(|sample| samples.contains_key(*sample)), "{samples:?}");
        let known = asked(&api, "metadata").expect("it is there");
        let of = |word: &'static str| {
            text.lines().filter_map(move |line| line.strip_prefix(word)?.trim_start().split_once(' '))
        };
        for ((name, help), (_, kind)) in of("# HELP").zip(of("# TYPE")) {
            assert_eq!(
                (known[name][0]["type"].as_str(), known[name][0]["help"].as_str()),
                (Some(kind), Some(help))
            );
        }

        // Prometheus' own check of the text has nothing to say.
        let mut promtool = Command::new("promtool");
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("it starts");
        promtool.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        let said = promtool.wait_with_output().expect("it ends");
        let complaints = [said.stdout, said.stderr].concat();
        assert!(said.status.success() && complaints.is_empty(), "{}", String::from_utf8_lossy(&complaints));
        guard.shutdown(HANG).expect("all is written");
    });
}
