//! The configuration from outside: every kind of problem, the example file, flags, `check`.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use drawspan::cli::check::{self, Check};
use drawspan::cli::config_file::{self, ConfigError};
use drawspan::cli::exit::Exit;
use drawspan::cli::flags::RunArgs;
use drawspan::config::{
    self, AccessLog, Config, Environment, Flags, GroupRole, Limits, Loaded, LogFormat, LogLevel,
    Notice, QueryLogging, Timeouts,
};
use drawspan::model::{Mode, NodeRole};
use drawspan::nocobase::Paths;
use drawspan::routing::Balance;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../drawspan.example.toml");
const LEAST: &str =
    "listen = [\"127.0.0.1:8080\"]\n[[nodes]]\naddress = \"http://10.0.0.1:13000\"\n";

fn root() -> Environment {
    Environment::default()
}

fn load(text: &str) -> Loaded {
    config::parse(text, &Flags::default(), &root()).expect("a right configuration")
}

fn problems(text: &str) -> Vec<String> {
    match config::parse(text, &Flags::default(), &root()) {
        Ok(loaded) => panic!("no problem found: {loaded:?}"),
        Err(problems) => problems.within("d.toml"),
    }
}

/// The one problem of the least configuration with some lines above its node.
fn one_problem(top: &str) -> String {
    let mut found = problems(&LEAST.replace("[[nodes]]", &format!("{top}\n[[nodes]]")));
    assert_eq!(found.len(), 1, "{top}: {found:?}");
    found.remove(0)
}

#[test]
fn the_least_file_names_where_to_listen_and_a_node() {
    let Loaded { config, warnings, .. } = load(LEAST);
    assert_eq!(warnings, []);
    assert_eq!(config.nodes.len(), 1);
    assert_eq!(config.nodes[0].id.as_str(), "n1");
    assert_eq!(config.nodes[0].role, NodeRole::Request);
    assert_eq!(config.initial_mode, Mode::Cluster);
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/drawspan"));
    assert_eq!(config.control.path, PathBuf::from("/run/drawspan/control.sock"));
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.notice, Notice::default());
    assert_eq!(config.app, Paths::default());
}

#[test]
fn the_example_says_the_defaults() {
    let example = load(EXAMPLE).config;
    let node = "listen = \":8080\"\n[[nodes]]\naddress = \"127.0.0.1:13000\"\n";
    assert_eq!(example, load(node).config);
}

/// The example with every setting on that it has switched off.
fn example_all_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            format!("{setting}\n")
        }
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(on).collect()
}

#[test]
fn what_the_example_has_off_is_right_when_it_is_switched_on() {
    let config = load(&example_all_on()).config;
    assert_eq!(config.admin, "127.0.0.1:9090".parse().ok());
    assert_eq!(config.limits.connections, Some(Limits::CONNECTIONS_DEFAULT));
    assert_eq!(config.limits.request_body, Some(20 << 20));
    assert_eq!(config.control.group.as_deref(), Some("drawspan"));
    assert_eq!(config.notice.page, Some(PathBuf::from("/etc/drawspan/notice.html")));
    // What it shows as the default of root is that.
    assert_eq!(config.state_dir, root().state_dir());
    assert_eq!(config.control.path, root().control_path());
    let defaults = load(LEAST).config.procedures;
    assert_eq!(config.procedures, defaults);
    assert!(config.drivers.each().iter().all(|(_, command)| command.is_some()));
    assert!(config.nodes[0].drivers.each().iter().all(|(_, command)| command.is_some()));
}

#[test]
fn the_example_holds_every_key_there_is() {
    // An unknown key without a near one is answered with all that are known in its section.
    let mut text = String::from("zzzzzzzz = 1\n");
    for line in example_all_on().lines() {
        text += line;
        text += if line.starts_with('[') { "\nzzzzzzzz = 1\n" } else { "\n" };
    }
    let example: toml::Table = toml::from_str(&example_all_on()).expect("TOML");
    let answers = problems(&text);
    assert_eq!(answers.len(), 14, "{answers:?}");
    for answer in answers {
        let (_, place) = answer.split_once(": ").expect("a place");
        let (path, _) = place.split_once(": ").expect("a key");
        let known = answer.rsplit_once("(known here: ").expect("the known keys").1;
        let section = match path.rsplit_once('.') {
            None => &example,
            Some(("nodes[0]", _)) => example["nodes"][0].as_table().expect("a table"),
            Some(("nodes[0].drivers", _)) => {
                example["nodes"][0]["drivers"].as_table().expect("a table")
            }
            Some((section, _)) => {
                let mut parts = section.split('.');
                let first = &example[parts.next().expect("a part")];
                let table = parts.fold(first, |table, part| &table[part]);
                table.as_table().expect("a table")
            }
        };
        let known: Vec<&str> = known.trim_end_matches(')').split(", ").collect();
        assert_eq!(known.len(), section.len(), "{answer}");
        for key in known {
            assert!(section.contains_key(key), "the example lacks {key}: {answer}");
        }
    }
}

#[test]
fn every_setting_arrives() {
    let config = load(
        r#"
        listen = ["127.0.0.1:80", "[::1]:80"]
        initial_mode = "single b-2"
        workers = 3
        balance = "least_requests"
        trusted_proxies = ["10.0.0.0/8"]
        control = { path = "/x/c.sock", group = "ops", group_role = "operator" }
        [[nodes]]
        address = "http://App.Example"
        weight = 5
        [[nodes]]
        id = "b-2"
        address = "[::1]:13000"
        [[nodes]]
        id = "jobs"
        role = "worker"
        [app]
        public_path = "/erp/"
        [timeouts]
        drain = "1m30s"
        [log]
        access = "/var/log/drawspan/access.log"
        query = "keep"
        format = "json"
        level = "trace"
        "#,
    )
    .config;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.initial_mode.to_string(), "single b-2");
    assert_eq!(config.workers.map(usize::from), Some(3));
    assert_eq!(config.balance, Balance::LeastRequests);
    let proxy: IpAddr = "::ffff:10.9.9.9".parse().expect("an address");
    assert!(config.trusted_proxies[0].contains(proxy));
    assert_eq!(config.control.group.as_deref(), Some("ops"));
    assert_eq!(config.control.group_role, GroupRole::Operator);
    let addresses = config.nodes.iter().map(|n| n.address.as_ref().map(ToString::to_string));
    let addresses: Vec<_> = addresses.collect();
    assert_eq!(addresses, [Some("app.example:80".into()), Some("[::1]:13000".into()), None]);
    assert_eq!(config.nodes[0].weight.value(), 5);
    assert_eq!(config.nodes[2].role, NodeRole::Worker);
    let (public, api, ws) = ("/erp".into(), "/erp/api".into(), "/erp/ws".into());
    assert_eq!(config.app, Paths { public, api, ws });
    assert_eq!(config.timeouts.drain, Duration::from_secs(90));
    assert_eq!(config.log.access, AccessLog::File("/var/log/drawspan/access.log".into()));
    assert_eq!(config.log.query, QueryLogging::Keep);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.level, LogLevel::Trace);
}

#[test]
fn each_wrong_setting_is_named_with_what_would_be_right() {
    let long = format!("control.path = \"/{}\"", "s".repeat(107));
    for (top, place, says) in [
        ("admin = \"x\"", "admin", "write an IP address of this machine and a port"),
        ("admin = \"127.0.0.1:8080\"", "admin", "is taken by listen[0]"),
        ("admin = 9090", "admin", "is a number; write text in quotes, as \"127.0.0.1:9090\""),
        ("state_dir = \"\"", "state_dir", "is no path; write one"),
        ("state_dir = true", "state_dir", "is true or false; write text"),
        ("initial_mode = \"open\"", "initial_mode", "write \"cluster\" or \"maintenance\""),
        ("initial_mode = \"clutser\"", "initial_mode", "did you mean \"cluster\"?"),
        ("initial_mode = \"single\"", "initial_mode", "write which one is kept"),
        ("initial_mode = \"single n9\"", "initial_mode", "no node \"n9\"; the nodes are n1"),
        ("initial_mode = \"cluster n1\"", "initial_mode", "is not known here"),
        ("workers = 0", "workers", "is 0; write 1 to 256"),
        ("workers = 257", "workers", "write 1 to 256"),
        ("workers = -1", "workers", "write 1 to 256"),
        ("workers = 1.5", "workers", "is a number with a fraction; write a whole number"),
        ("workers = 0xffffffffffffffff", "workers", "write a smaller number"),
        ("balance = \"least\"", "balance", "write \"round_robin\" or \"least_requests\""),
        ("trusted_proxies = [\"lb\"]", "trusted_proxies[0]", "as 10.0.0.0/8"),
        ("trusted_proxies = [\"::1\", 7]", "trusted_proxies[1]", "is a number"),
        ("trusted_proxies = \"10.0.0.1/8\"", "trusted_proxies", "write 10.0.0.0/8"),
        (&long, "control.path", "at most 107; choose a shorter one"),
        ("control.path = \"/run/\"", "control.path", "is a folder"),
        ("control.group = \"a b\"", "control.group", "is no name of a group"),
        ("control.group_role = \"admin\"", "control.group_role", "\"viewer\" or \"operator\""),
        ("control = \"/run/x\"", "control", "is text; write a section headed [control]"),
        ("app.public_path = \"erp\"", "app.public_path", "begin it with /"),
        ("app.public_path = \"/a/../b\"", "app.public_path", "begin it with /"),
        ("app.api_path = \"/\"", "app.api_path", "write a path of its own, as /api"),
        ("app.api_path = \"/ws\"", "app.ws_path", "is also api_path"),
        ("app.ws_path = \"/w?x\"", "app.ws_path", "is no path prefix"),
        ("timeouts.head = 30", "timeouts.head", "is a number; write text in quotes, as \"10s\""),
        ("timeouts.head = \"30\"", "timeouts.head", "write 30s for seconds"),
        ("timeouts.head = \"0s\"", "timeouts.head", "is 0s; write 10ms to 1h"),
        ("timeouts.drain = \"2h\"", "timeouts.drain", "write 0s to 1h"),
        ("timeouts.connect = \"5m\"", "timeouts.connect", "write 10ms to 1m"),
        ("limits.connections = 0", "limits.connections", "write 1 to 1000000"),
        ("limits.request_body = \"20M\"", "limits.request_body", "the units are B, KiB"),
        ("limits.request_body = \"0B\"", "limits.request_body", "is 0B; write 1B to 1024GiB"),
        ("health.timeout = \"2s\"", "health.timeout", "must be shorter than health.interval (2s)"),
        ("health.interval = \"1s\"", "health.timeout", "must be shorter than health.interval (1s)"),
        ("health.rise = 0", "health.rise", "write 1 to 100"),
        ("notice.page = \"\"", "notice.page", "is no path"),
        ("notice.retry_after = \"1500ms\"", "notice.retry_after", "write whole seconds"),
        ("log.access = \"sdtout\"", "log.access", "did you mean \"stdout\"?"),
        ("log.query = true", "log.query", "is true or false; write text in quotes, as \"omit\""),
        ("log.level = \"warning\"", "log.level", "did you mean \"warn\"?"),
        ("log.format = \"xml\"", "log.format", "write \"text\" or \"json\""),
        ("health.intervall = \"1s\"", "health.intervall", "did you mean `interval`?"),
        ("[app]\nadmin = \":1\"", "app.admin", "belongs at the top of the file"),
        ("[app]\nrise = 1", "app.rise", "it belongs under [health]"),
        ("tls = 1", "tls", "remove it (known here: listen, admin, drivers, nodes"),
        ("\"a\\nb\" = 1", "\"a\\nb\"", "is no setting"),
    ] {
        let found = one_problem(top);
        let line = if top.starts_with('[') { 3 } else { 2 };
        // A wrong default has no line of its own.
        let with_line = format!("d.toml:{line}: {place}: ");
        let without = format!("d.toml: {place}: ");
        assert!(found.starts_with(&with_line) || found.starts_with(&without), "{top}: {found}");
        assert!(found.contains(says), "{top}: {found}");
    }
}

#[test]
fn each_wrong_node_is_named_with_what_would_be_right() {
    for (nodes, place, says) in [
        ("[[nodes]]", "nodes[1].address", "is missing; write where the node is reached"),
        ("[[nodes]]\naddress = 5", "nodes[1].address", "is a number; write text"),
        ("[[nodes]]\naddress = \"https://a\"", "nodes[1].address", "TLS towards nodes"),
        ("[[nodes]]\naddress = \"10.0.0.1:13000\"", "nodes[1].address", "also nodes[0].address"),
        ("[[nodes]]\naddress = \"localhost:8080\"", "nodes[1].address", "gateway's own address"),
        ("[[nodes]]\naddress = \"b:1\"\nid = \"B\"", "nodes[1].id", "is no node id"),
        ("[[nodes]]\naddress = \"b:1\"\nid = \"n1\"", "nodes[1].id", "also that of nodes[0]"),
        ("[[nodes]]\naddress = \"b:1\"\nrole = \"job\"", "nodes[1].role", "or \"worker\""),
        ("[[nodes]]\naddress = \"b:1\"\nweight = 0", "nodes[1].weight", "write 1 to 256"),
        ("[[nodes]]\naddres = \"b:1\"\nrole = \"worker\"", "nodes[1].addres", "`address`?"),
    ] {
        let found = problems(&format!("{LEAST}{nodes}\n"));
        assert_eq!(found.len(), 1, "{nodes}: {found:?}");
        assert!(found[0].contains(&format!(": {place}: ")), "{nodes}: {found:?}");
        assert!(found[0].contains(says), "{nodes}: {found:?}");
    }
}

#[test]
fn every_command_arrives_in_either_form_and_a_node_may_have_its_own() {
    let config = load(
        r#"
        listen = ":80"
        [drivers]
        start = ["systemctl", "start", "nocobase@{node}"]
        status = { run = ["st", "{address}"], limit = "3s" }
        verify = ["verify"]
        [drivers.backup]
        run = ["/b", "{backup}", "{{x}}"]
        limit = "1h"
        pass_env = ["PGPASSWORD"]
        env = { PGHOST = "10.0.0.5", "odd name" = "" }
        [procedures]
        backup_path = "/b/{id}"
        artefacts = ["{backup}.dump", "/b/storage"]
        down_after = "1s"
        ready_in_a_row = 1
        closed_max = "8h"
        limits = { work = "24h" }
        [[nodes]]
        address = "a:1"
        [[nodes]]
        address = "b:1"
        [nodes.drivers]
        start = ["docker", "start", "b"]
        [[nodes]]
        address = "c:1"
        "#,
    )
    .config;
    let start = |i: usize| config.nodes[i].drivers.start.as_ref().expect("a command");
    assert_eq!(start(0).argv, ["systemctl", "start", "nocobase@{node}"]);
    assert_eq!(start(0).limit, Duration::from_secs(300));
    assert_eq!(start(1).argv, ["docker", "start", "b"]);
    assert_eq!(start(2), start(0));
    let status = config.nodes[1].drivers.status.as_ref().expect("the general one");
    assert_eq!((status.limit, status.argv.len()), (Duration::from_secs(3), 2));
    assert_eq!(config.nodes[0].drivers.stop, None);
    let backup = config.drivers.backup.expect("a command");
    assert_eq!(backup.argv, ["/b", "{backup}", "{{x}}"]);
    assert_eq!(backup.limit, Duration::from_secs(3600));
    assert_eq!(backup.pass_env, ["PGPASSWORD"]);
    assert_eq!(backup.env["PGHOST"], "10.0.0.5");
    assert_eq!(backup.env["odd name"], "");
    assert_eq!(config.drivers.verify.expect("a command").limit, Duration::from_secs(600));
    assert_eq!(config.drivers.update, None);
    let procedures = config.procedures;
    assert_eq!(procedures.backup_path, "/b/{id}");
    assert_eq!(procedures.artefacts, ["{backup}.dump", "/b/storage"]);
    assert_eq!(procedures.ready_in_a_row, 1);
    assert_eq!(procedures.limits.work, Duration::from_secs(86_400));
    assert_eq!(procedures.limits.raise, Duration::from_secs(120));
}

#[test]
fn backups_lie_in_the_state_folder_by_default_whatever_its_name() {
    let text = format!("state_dir = \"/srv/{{id}}\"\n{LEAST}");
    let procedures = load(&text).config.procedures;
    assert_eq!(procedures.backup_path, "/srv/{{id}}/backups/{id}");
    let values = [(config::Placeholder::Id, "7".to_owned())].into();
    let path = config::fill(&procedures.backup_path, &values);
    assert_eq!(path.as_deref(), Ok("/srv/{id}/backups/7"));
}

#[test]
fn each_wrong_command_is_named_with_what_would_be_right() {
    let many = format!("backup = [{}]", "\"a\",".repeat(65));
    let long = format!("backup = [\"a\", \"{}\"]", "a".repeat(4097));
    let more = format!("artefacts = [{}]", "\"/a\",".repeat(17));
    for (section, text, place, says) in [
        ("drivers", "start = \"systemctl start n1\"", "start", "is text; write a list of the"),
        ("drivers", "start = 5", "start", "is a number; write a list of the program"),
        ("drivers", "start = []", "start", "is empty; write the program"),
        ("drivers", "start = [\"\"]", "start[0]", "names no program"),
        ("drivers", "start = [\"a\", 5]", "start[1]", "is a number; write text"),
        ("drivers", "start = [\"./a\"]", "start[0]", "\"./a\" is a relative path; write an abs"),
        ("drivers", "stop = [\"a/b\"]", "stop[0]", "or a bare name that is looked up in PATH"),
        ("drivers", "stop = [\"a\", \"\\u0000\"]", "stop[1]", "holds a NUL byte"),
        ("drivers", &many, "backup", "has 65 entries; write at most 64"),
        ("drivers", &long, "backup[1]", "has 4097 bytes; write at most 4096"),
        ("drivers", "stop = [\"a\", \"{nod}\"]", "stop[1]", "\"{nod}\" is no placeholder"),
        ("drivers", "stop = [\"a\", \"{nod}\"]", "stop[1]", "{node}, {address}, {version}"),
        ("drivers", "stop = [\"a\", \"{x\"]", "stop[1]", "write {{ or }} for a brace"),
        ("drivers", "status = [\"{version}\"]", "status[0]", "it may hold {node}, {address}"),
        ("drivers", "backup = [\"a\", \"{node}\"]", "backup[1]", "may hold {backup}, {version}"),
        ("drivers", "notify = [\"{backup}\"]", "notify[0]", "{message}, {phase}, {procedure}"),
        ("drivers", "backup = { limit = \"1s\" }", "backup.run", "is missing; write run = ["),
        ("drivers", "backup = { run = \"a\" }", "backup.run", "is no list; write run = ["),
        ("drivers", "backup = { run = [\"a\"], limit = \"0s\" }", "backup.limit", "100ms to 24h"),
        ("drivers", "backup = { run = [\"a\"], rum = 1 }", "backup.rum", "did you mean `run`?"),
        ("drivers", "backup = { run = [\"a\"], env = [] }", "backup.env", "is a list; write env"),
        ("drivers", "backup = { run = [\"a\"], env = { A = 1 } }", "backup.env.A", "is a number"),
        (
            "drivers",
            "backup = { run = [\"a\"], env = { \"A=\" = \"\" } }",
            "backup.env.\"A=\"",
            "no name",
        ),
        ("drivers", "backup = { run = [\"a\"], pass_env = [\"\"] }", "backup.pass_env", "no name"),
        (
            "drivers",
            "backup = { run = [\"a\"], pass_env = [\"A\"], env = { A = \"\" } }",
            "backup.env.A",
            "is also in pass_env; write it in one",
        ),
        ("drivers", "strat = [\"a\"]", "strat", "did you mean `start`?"),
        ("drivers", "work = \"1h\"", "work", "it belongs under [procedures.limits]"),
        ("procedures", "backup_path = \"\"", "backup_path", "is no path"),
        ("procedures", "backup_path = \"/{backup}\"", "backup_path", "it may hold {id}"),
        ("procedures", "artefacts = []", "artefacts", "has 0 entries; write 1 to 16"),
        ("procedures", &more, "artefacts", "has 17 entries; write 1 to 16"),
        ("procedures", "artefacts = [\"/{id}\"]", "artefacts[0]", "it may hold {backup}"),
        ("procedures", "down_after = \"999ms\"", "down_after", "is 999ms; write 1s to 10m"),
        ("procedures", "ready_in_a_row = 0", "ready_in_a_row", "is 0; write 1 to 100"),
        ("procedures", "limits = { work = \"0s\" }", "limits.work", "is 0s; write 1s to 168h"),
    ] {
        let found = problems(&format!("{LEAST}[{section}]\n{text}\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let start = format!("d.toml:5: {section}.{place}");
        let without = format!("d.toml: {section}.{place}");
        assert!(found[0].starts_with(&start) || found[0].starts_with(&without), "{found:?}");
        assert!(found[0].contains(says), "{text}: {found:?}");
    }
}

#[test]
fn a_general_command_says_which_node_it_means() {
    let general = "[drivers]\nstop = [\"stop\"]\nstatus = [\"st\", \"{address}\"]\n";
    load(&format!("{LEAST}{general}"));
    let found = problems(&format!("{LEAST}[[nodes]]\naddress = \"b:1\"\n{general}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(": drivers.stop: does the same for each of 2 nodes; say"),
        "{found:?}"
    );
    let own = "[nodes.drivers]\nstop = [\"other\"]\n";
    load(&format!("{LEAST}[[nodes]]\naddress = \"b:1\"\n{own}{general}"));
    let worker = "[[nodes]]\nid = \"jobs\"\nrole = \"worker\"\n";
    let found = problems(&format!("{LEAST}{worker}{own}{general}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("tells {address}, and node jobs has none; write {node}"),
        "{found:?}"
    );
}

#[test]
fn a_file_without_what_is_required_is_told_both_things() {
    let found = problems("");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("d.toml: listen: is missing; write"), "{found:?}");
    assert!(found[1].starts_with("d.toml: nodes: is missing; write"), "{found:?}");
    let listen = "listen = \":80\"\n";
    for (nodes, says) in [
        ("nodes = []", "nobody would be served"),
        ("[[nodes]]\nrole = \"worker\"", "nobody would be served"),
        ("nodes = 5", "head each of its entries [[nodes]]"),
        ("[nodes]\nid = \"n1\"", "head each of its entries [[nodes]]"),
        ("nodes = [1]", "write a table headed [[nodes]]"),
    ] {
        let found = problems(&format!("{listen}{nodes}\n"));
        assert!(found.iter().any(|problem| problem.contains(says)), "{nodes}: {found:?}");
    }
    for (listen, says) in [
        ("listen = []", "names no address"),
        ("listen = [\":80\", \"127.0.0.1:80\"]", "is taken by listen[0]"),
        ("listen = [\"1.2.3.4\"]", "write 1.2.3.4:8080"),
        ("listen = 80", "is a number"),
    ] {
        let text = LEAST.replace("listen = [\"127.0.0.1:8080\"]", listen);
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(says), "{listen}: {found:?}");
    }
}

#[test]
fn many_problems_are_all_told_in_the_order_of_the_file() {
    let found = problems(
        "lisen = \":80\"\nworkers = \"two\"\ninitial_mode = \"single x\"\n\
         [timeouts]\nhead = 10\nkeep_alive = \"75\"\n\
         [[nodes]]\nid = \"a\"\naddress = \"https://h\"\n\
         [[nodes]]\nid = \"a\"\nwieght = 3\naddress = \"http://h:1\"\n\
         [health]\nrise = 0\ntimeout = \"9s\"\n",
    );
    let starts = [
        "d.toml:1: lisen: is no setting; did you mean `listen`?",
        "d.toml:2: workers: is text; write a whole number",
        "d.toml:3: initial_mode: there is no node \"x\"; the nodes are a, a",
        "d.toml:5: timeouts.head: is a number",
        "d.toml:6: timeouts.keep_alive: `75` has no unit",
        "d.toml:9: nodes[0].address: \"https://h\" asks for TLS",
        "d.toml:11: nodes[1].id: the id a is also that of nodes[0].id",
        "d.toml:12: nodes[1].wieght: is no setting; did you mean `weight`?",
        "d.toml:15: health.rise: is 0; write 1 to 100",
        "d.toml:16: health.timeout: is 9s, and must be shorter",
        "d.toml: listen: is missing",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (problem, start) in found.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\nis not\n{start}");
    }
}

#[test]
fn text_that_is_no_toml_is_told_with_line_and_column() {
    let found = problems("listen = [\"a\"]\nadmin = \n[[nodes]\n");
    assert!(found[0].starts_with("d.toml:2:9: is no TOML: "), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("d.toml:3:")), "{found:?}");
    let twice = problems("balance = \"round_robin\"\nbalance = \"round_robin\"\n");
    assert!(twice[0].starts_with("d.toml:2:1: is no TOML: duplicate key"), "{twice:?}");
}

#[test]
fn what_may_go_wrong_later_is_a_warning() {
    for (text, place, says) in [
        ("state_dir = \"/tmp/d\"", "state_dir", "may be emptied"),
        ("state_dir = \"d\"", "state_dir", "the folder that the gateway is started in"),
        ("initial_mode = \"single n1\"", "initial_mode", "unless node n1 is ready"),
        ("trusted_proxies = [\"0.0.0.0/0\"]", "trusted_proxies[0]", "name the proxies"),
        ("admin = \"0.0.0.0:9090\"", "admin", "everybody who reaches this machine"),
        (
            "drivers.backup = { run = [\"a\"], env = { DB_PASSWORD = \"x\" } }",
            "drivers.backup.env.DB_PASSWORD",
            "write pass_env = [\"DB_PASSWORD\"]",
        ),
        ("procedures.backup_path = \"/b\"", "procedures.backup_path", "write {id} into it"),
        ("procedures.artefacts = [\"b\"]", "procedures.artefacts[0]", "the folder that the gat"),
    ] {
        let warnings = load(&format!("{text}\n{LEAST}")).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].place.to_string(), place);
        assert!(warnings[0].message.contains(says), "{warnings:?}");
    }
    let public = load(&LEAST.replace("10.0.0.1", "203.0.113.5")).warnings;
    assert!(public[0].within("d").starts_with("d:3: nodes[0].address: "), "{public:?}");
    assert!(public[0].message.contains("close the node's port"), "{public:?}");
}

#[test]
fn a_name_that_cannot_resolve_is_no_problem() {
    load(&LEAST.replace("10.0.0.1", "no-such-host.invalid"));
}

#[derive(clap::Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

fn run(words: &[&str]) -> Result<Config, String> {
    let words = std::iter::once("run").chain(words.iter().copied());
    let run = Run::try_parse_from(words).map_err(|error| error.to_string())?;
    run.args.load(&root()).map(|loaded| loaded.config).map_err(|error| error.to_string())
}

#[test]
fn flags_alone_make_a_configuration() {
    let config = run(&["--node", "http://10.0.0.1:13000", "--node", "two=10.0.0.2:13000"]);
    let config = config.expect("a right configuration");
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().expect("an address")]);
    let ids: Vec<&str> = config.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["n1", "two"]);
    let words = ["--listen", ":81", "--listen", "82", "--admin", "127.0.0.1:83", "--workers", "2"];
    let paths = ["--state-dir", "/s", "--control", "/c.sock", "--node", "a:1"];
    let config = run(&[&words[..], &paths[..]].concat()).expect("a right configuration");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.admin, "127.0.0.1:83".parse().ok());
    assert_eq!(config.workers.map(usize::from), Some(2));
    assert_eq!(config.state_dir, PathBuf::from("/s"));
    assert_eq!(config.control.path, PathBuf::from("/c.sock"));
}

#[test]
fn wrong_flags_are_told_like_a_wrong_file() {
    let missing = run(&[]).expect_err("no node");
    assert!(missing.starts_with("--node: is missing; name each node"), "{missing}");
    let words = ["--node", "https://a", "--node", "b:1", "--listen", "x", "--workers", "-1"];
    let more = ["--control", "/", "--admin", "70000"];
    let wrong = run(&[&words[..], &more[..]].concat()).expect_err("wrong flags");
    for start in [
        "--node (number 1): \"https://a\" asks for TLS",
        "--listen: \"x\" is no address to listen on",
        "--workers: is -1; write 1 to 256",
        "--control: / is a folder",
        "--admin: \"70000\" has a port beyond 65535",
    ] {
        assert!(wrong.lines().any(|line| line.starts_with(start)), "{start}\nnot in\n{wrong}");
    }
    assert_eq!(wrong.lines().count(), 5, "{wrong}");
}

#[test]
fn flags_replace_what_the_file_says_but_its_nodes() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(LEAST.as_bytes()).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let words =
        ["--config", path, "--listen", "127.0.0.1:1", "--state-dir", "/s", "--workers", "7"];
    let config = run(&words).expect("a right configuration");
    assert_eq!(config.listen, ["127.0.0.1:1".parse().expect("an address")]);
    assert_eq!(config.state_dir, PathBuf::from("/s"));
    assert_eq!(config.workers.map(usize::from), Some(7));
    let both = run(&["--config", path, "--node", "b:1"]).expect_err("both");
    assert!(both.contains("cannot be used with"), "{both}");
    let flags = Flags { nodes: vec!["b:1".into()], ..Flags::default() };
    let both = config::parse(LEAST, &flags, &root()).expect_err("both").to_string();
    assert!(both.starts_with("--node: cannot be given with a file"), "{both}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("written");
        }
        config_file::load(&path, &Flags::default(), &root()).expect_err("unreadable")
    };
    let missing = load("missing.toml", None);
    assert!(matches!(missing, ConfigError::Read { .. }));
    let missing = missing.to_string();
    assert!(missing.contains("missing.toml") && missing.contains("example"), "{missing}");
    assert!(matches!(load("big.toml", Some(&[b'#'; 300_000])), ConfigError::TooBig { .. }));
    let latin = load("latin.toml", Some(b"# caf\xe9\n"));
    assert!(matches!(latin, ConfigError::NotText { at: 6, .. }), "{latin}");
    let itself = load(".", None).to_string();
    assert!(itself.contains("name the file inside it"), "{itself}");
}

/// Checks a file whose state and socket lie in a folder of this test, unless it says otherwise.
fn check(text: &str) -> (Exit, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment {
        state_directory: Some(folder.path().join("state")),
        runtime_directory: Some(folder.path().to_owned()),
        ..root()
    };
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let check = Check { file: Some(file.path().to_owned()), config: None };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = check::report(&check, &environment, &mut out, &mut err).expect("written to memory");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (exit, text(out), text(err))
}

#[test]
fn check_tells_what_would_run_and_ends_with_0() {
    let text = format!("state_dir = \"/tmp/d\"\n{LEAST}[[nodes]]\nrole = \"worker\"\n");
    let (exit, out, err) = check(&text);
    assert_eq!(exit, Exit::True);
    for says in ["127.0.0.1:8080", "n1 10.0.0.1:13000 weight 1", "n2 - worker", "cluster", "/tmp/d"]
    {
        assert!(out.contains(says), "{says} is not in {out}");
    }
    assert!(err.starts_with("warning: ") && err.contains(":1: state_dir: "), "{err}");
}

#[test]
fn check_warns_of_programs_that_are_not_there() {
    let drivers = "[drivers]\nstart = [\"no-such-program-here\", \"{node}\"]\nverify = [\"sh\"]\n\
                   stop = [\"/nonexistent/{node}\"]\nupdate = [\"/etc/passwd\"]\n\
                   [[nodes]]\naddress = \"b:1\"\n[nodes.drivers]\nstatus = [\"/nonexistent/s\"]\n";
    let (exit, _, err) = check(&format!("{LEAST}{drivers}"));
    assert_eq!(exit, Exit::True, "{err}");
    for says in [
        ":5: drivers.start: no-such-program-here is in no folder of PATH (",
        ":8: drivers.update: /etc/passwd may not be run by this user; ",
        ":12: nodes[1].drivers.status: /nonexistent/s cannot be found; ",
    ] {
        assert_eq!(err.matches(says).count(), 1, "{says} is not once in {err}");
    }
    assert!(!err.contains("stop") && !err.contains("verify"), "{err}");
}

#[test]
fn check_tells_every_problem_and_ends_with_2() {
    let (exit, out, err) = check("workers = 0\nbalanc = 1\n");
    assert_eq!(exit, Exit::Usage);
    assert_eq!(out, "");
    for says in [":1: workers: ", ":2: balanc: ", ": listen: ", ": nodes: ", "4 problems"] {
        assert!(err.contains(says), "{says} is not in {err}");
    }
}

/// TOML of keys that exist, and of some that do not, with values of every type.
#[test]
fn check_finds_what_run_would_not_start_with_and_names_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, b"precious").expect("written");
    let (folder, file) = (folder.path().display(), file.display());
    for (section, says) in [
        ("[notice]\npage = \"/nonexistent.html\"", "notice.page: cannot read the notice page"),
        ("[notice]\npage = \"/tmp\"", "notice.page: cannot read the notice page"),
        ("[control]\ngroup = \"nosuchgroup\"", "control.group: group `nosuchgroup`"),
        ("[control]\npath = \"/nonexistent/c\"", "control.path: the control socket's folder"),
        (&format!("[control]\npath = \"{file}\""), "control.path: "),
        ("[log]\naccess = \"/nonexistent/a.log\"", "log.access: /nonexistent does not exist"),
        (&format!("[log]\naccess = \"{folder}\""), "is a folder"),
    ] {
        let (exit, out, err) = check(&format!("{LEAST}{section}\n"));
        assert_eq!((exit, out.as_str()), (Exit::Usage, ""), "{section}: {err}");
        assert!(err.contains(&format!(":5: {says}")) || err.contains(says), "{says}: {err}");
        assert!(err.contains(":5: "), "its line: {err}");
        assert!(err.contains("; ") || err.contains('('), "what to do: {err}");
        for debug in ["File(", "Some(", "Os {"] {
            assert!(!err.contains(debug), "{err}");
        }
    }
    let (exit, _, err) = check(&format!("state_dir = \"{file}/state\"\n{LEAST}"));
    assert_eq!(exit, Exit::Usage, "{err}");
    assert!(err.contains(":1: state_dir: ") && err.contains("cannot be made"), "{err}");
    let many = "[notice]\npage = \"/nonexistent.html\"\n[log]\naccess = \"/nonexistent/a\"\n";
    let (_, _, err) = check(&format!("{LEAST}{many}"));
    assert!(err.contains("2 problems"), "{err}");
}

fn documents() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "listen",
        "admin",
        "state_dir",
        "initial_mode",
        "workers",
        "balance",
        "trusted_proxies",
        "nodes",
        "id",
        "address",
        "role",
        "weight",
        "control",
        "path",
        "group",
        "timeouts",
        "head",
        "health",
        "interval",
        "timeout",
        "app",
        "api_path",
        "log",
        "access",
        "drivers",
        "start",
        "backup",
        "run",
        "env",
        "procedures",
        "backup_path",
        "artefacts",
        "limits",
        "x",
        "\"é\"",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1.5",
        "nan",
        "true",
        "\"\"",
        "\"30s\"",
        "\"/x\"",
        "\"http://a:1\"",
        "[]",
        "[1, \"a\"]",
        "[\"a\", \"{node}\", \"{\"]",
        "{ run = [\"a/b\"], env = { A = 1 } }",
        "{}",
        "{ id = 1 }",
        "[{ address = \"a:1\" }]",
        "1979-05-27",
        "\"single n1\"",
        "\"\\u0000\"",
        "0xffffffffffffffffffff",
    ]);
    let line = prop_oneof![
        4 => (key.clone(), value).prop_map(|(key, value)| format!("{key} = {value}\n")),
        1 => key.clone().prop_map(|key| format!("[{key}]\n")),
        1 => key.prop_map(|key| format!("[[{key}]]\n")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_configuration_panic(text in "(?s).{0,200}") {
        let _ = config::parse(&text, &Flags::default(), &root());
    }

    #[test]
    fn no_document_makes_the_configuration_panic_and_every_refusal_says_why(text in documents()) {
        if let Err(problems) = config::parse(&text, &Flags::default(), &root()) {
            prop_assert!(!problems.is_empty());
            for problem in problems.iter() {
                prop_assert!(problem.message.contains("; ") || problem.message.contains('?'));
            }
        }
    }

    #[test]
    fn no_flags_make_the_configuration_panic(node in ".{0,40}", listen in ".{0,40}") {
        let flags = Flags { nodes: vec![node], listen: vec![listen], ..Flags::default() };
        let _ = config::from_flags(&flags, &root());
    }
}
