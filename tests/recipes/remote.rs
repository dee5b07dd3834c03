//! ssh: which host, which options, and words that arrive as they were; on a fake, and on a real sshd
//! where there is one.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::scene::{Done, Scene, eventually, not_real, recipes, which};

fn remote(scene: &Scene, words: &[&str]) -> Done {
    let script = recipes().join("ssh/remote").display().to_string();
    let argv: Vec<String> =
        std::iter::once(script).chain(words.iter().map(|word| (*word).to_owned())).collect();
    scene.exec(&argv, Vec::new())
}

/// An ssh that does what sshd does: it gives the line to a shell.
fn shell() -> Scene {
    let scene = Scene::new();
    scene.fake("ssh", "for line; do :; done\nexec sh -c \"$line\"");
    scene
}

#[test]
fn the_nodes_host_is_asked_without_questions_and_without_lending_it_anything() {
    let scene = Scene::new();
    scene.fake("ssh", "");
    let values = [("{node}", "n1"), ("{address}", "10.0.0.7:13000")];
    scene.run("ssh", "start", &values).well();
    let calls = scene.calls();
    let call = &calls[0];
    assert!(call.ends_with(" [--] [10.0.0.7] [start n1]"), "{call}");
    let config = format!("[-F] [{}]", scene.text("etc/ssh/config"));
    for option in ["[BatchMode=yes]", "[ConnectTimeout=10]", "[-a]", "[-x]", "[-n]", &config] {
        assert!(call.contains(option), "{option}: {call}");
    }
    for (address, host) in
        [("[fd00::1]:13000", "fd00::1"), ("fd00::1", "fd00::1"), ("node-1", "node-1")]
    {
        remote(&scene, &[address, "true"]).well();
        assert!(scene.calls()[0].ends_with(&format!(" [--] [{host}] [true]")));
    }
    remote(&scene, &["-oProxyCommand=x", "true"]).refused(2, "not a host");
    remote(&scene, &["a;b", "true"]).refused(2, "not a host");
    assert_eq!(scene.calls(), [""; 0]);
}

#[test]
fn every_word_arrives_as_it_was() {
    let scene = shell();
    let words = ["it's", "a  b", "$HOME", "`id`", "", "*", "\\", "a\nb\n", "\"", "é", ";", "-n"];
    let argv = [&["h", "printf", "<%s>"], words.as_slice()].concat();
    let told = words.map(|word| format!("<{word}>")).concat();
    assert_eq!(remote(&scene, &argv).well().out, told);
}

#[test]
fn the_exit_code_is_the_commands_and_255_says_that_it_may_run() {
    let scene = shell();
    remote(&scene, &["h:1", "sh", "-c", "exit 3"]).refused(3, "");
    scene.fake("ssh", "echo no route >&2; exit 255");
    remote(&scene, &["h:1", "true"]).refused(255, "h was not reached, or was lost");
}

fn forced(scene: &Scene, asked: &str) -> Done {
    let script = recipes().join("ssh/forced").display().to_string();
    scene.exec(&[script], vec![("SSH_ORIGINAL_COMMAND".into(), asked.into())])
}

#[test]
fn the_forced_command_does_four_things_to_nodes_and_nothing_else() {
    let scene = Scene::new();
    scene.fake("systemctl", "echo LoadState=loaded; echo ActiveState=inactive");
    scene.fake("journalctl", "");
    for verb in ["start", "stop"] {
        forced(&scene, &format!("{verb} n1")).well();
        assert_eq!(scene.calls(), [format!("systemctl [{verb}] [nocobase@n1.service]")]);
    }
    assert_eq!(forced(&scene, "status n1").refused(3, "").out, "stopped\n");
    forced(&scene, "logs n1").well();
    scene.calls();
    let refused = [
        "",
        "start",
        "start n1 n2",
        "start ../x",
        "start n1;id",
        "start $(id)",
        "start *",
        "id n1",
        "start -n1",
        "'start' 'n1'",
        "start N1",
    ];
    for asked in refused {
        forced(&scene, asked).refused(126, "ssh/forced");
    }
    assert_eq!(scene.calls(), [""; 0]);
}

/// A real sshd on a free port, for the user who runs it, with the forced command for one key.
struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn made(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().expect("it runs");
    assert!(done.status.success(), "{done:?}");
}

fn start_sshd(scene: &Scene, sshd: &Path, port: u16) -> Sshd {
    let etc = scene.text("etc");
    for key in ["host", "allowed", "other"] {
        made("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &format!("{etc}/{key}")]);
    }
    let forced = recipes().join("ssh/forced").display().to_string();
    // What sshd starts has an environment of its own: the fakes' folder is put into it here.
    let bin = scene.text("bin");
    let key = scene.read("etc/allowed.pub");
    let other = scene.read("etc/other.pub");
    scene.write(
        "etc/authorized",
        &format!("restrict,command=\"env PATH={bin}:$PATH {forced}\" {key}restrict {other}"),
    );
    scene.write(
        "etc/sshd",
        &format!(
            "HostKey {etc}/host\nAuthorizedKeysFile {etc}/authorized\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
        ),
    );
    let listen = format!("ListenAddress=127.0.0.1:{port}");
    let config = format!("{etc}/sshd");
    let child = Command::new(sshd)
        .args(["-D", "-q", "-f", &config, "-o", &listen])
        .stdin(Stdio::null())
        .spawn();
    let host_key = scene.read("etc/host.pub");
    scene.write("etc/known", &format!("[127.0.0.1]:{port} {host_key}"));
    for key in ["allowed", "other"] {
        scene.write(
            &format!("etc/{key}.config"),
            &format!(
                "Host *\n Port {port}\n IdentityFile {etc}/{key}\n IdentitiesOnly yes\n \
                 UserKnownHostsFile {etc}/known\n"
            ),
        );
        let secret = fs::Permissions::from_mode(0o600);
        fs::set_permissions(scene.path(&format!("etc/{key}")), secret).expect("set");
    }
    Sshd(child.expect("sshd starts"))
}

#[test]
fn a_real_sshd_passes_words_and_codes_and_keeps_the_key_to_its_four_things() {
    // As root it wants a user and a folder that its package makes.
    let root = Path::new("/root").read_dir().is_ok();
    let prepared = !root || Path::new("/run/sshd").is_dir();
    let Some(sshd) = which("sshd").filter(|_| prepared && which("ssh-keygen").is_some()) else {
        not_real("ssh", "sshd (or its /run/sshd)");
        return;
    };
    let mut scene = Scene::new();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let _sshd = start_sshd(&scene, &sshd, port);
    scene.fake("systemctl", "echo LoadState=loaded; echo ActiveState=inactive");
    scene.set("SSH_CONFIG", &scene.text("etc/allowed.config"));
    eventually("sshd answers", || {
        remote(&scene, &["127.0.0.1:1", "start", "n1"]).code != Some(255)
    });
    scene.calls();
    remote(&scene, &["127.0.0.1:1", "start", "n1"]).well();
    assert_eq!(scene.calls(), ["systemctl [start] [nocobase@n1.service]"]);
    let status = remote(&scene, &["127.0.0.1:1", "status", "n1"]).refused(3, "");
    assert_eq!(status.out, "stopped\n");
    remote(&scene, &["127.0.0.1:1", "id"]).refused(126, "ssh/forced: only");
    scene.set("SSH_CONFIG", &scene.text("etc/other.config"));
    let words = ["127.0.0.1:1", "printf", "<%s>", "it's", "$HOME", "", "a  b"];
    assert_eq!(remote(&scene, &words).well().out, "<it's><$HOME><><a  b>");
    // A host that is not known is an error and no question.
    scene.write("etc/known", "");
    remote(&scene, &["127.0.0.1:1", "true"]).refused(255, "was not reached");
}
