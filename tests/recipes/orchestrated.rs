//! systemd, docker compose and Kubernetes: played by fakes, which record what they were asked.

use super::scene::{Done, Scene};

fn unit(scene: &Scene, verb: &str) -> Done {
    scene.run("systemd", verb, &[("{node}", "n1")])
}

#[test]
fn systemd_starts_and_stops_the_nodes_unit() {
    let scene = Scene::new();
    scene.fake("systemctl", "");
    scene.fake("journalctl", "echo last words");
    unit(&scene, "start").well();
    unit(&scene, "stop").well();
    assert_eq!(unit(&scene, "logs").well().out, "last words\n");
    assert_eq!(
        scene.calls(),
        [
            "systemctl [start] [nocobase@n1.service]",
            "systemctl [stop] [nocobase@n1.service]",
            "journalctl [--no-pager] [--quiet] [--output=short-iso] [--lines=50] \
             [--unit=nocobase@n1.service]",
        ]
    );
    scene.fake("systemctl", "echo timed out >&2; exit 1");
    unit(&scene, "stop").refused(1, "timed out");
}

#[test]
fn the_state_of_a_unit_is_running_stopped_or_unknown() {
    let scene = Scene::new();
    let shown = |load: &str, active: &str| {
        let entered = "ActiveEnterTimestamp=Sun 2026-11-22 16:44:43 UTC";
        scene.fake(
            "systemctl",
            &format!("printf '%s\\n' LoadState={load} ActiveState={active} SubState=x '{entered}'"),
        );
        unit(&scene, "status")
    };
    assert_eq!(shown("loaded", "active").well().out, "running\nstarted=1795365883\n");
    for active in ["inactive", "failed"] {
        assert_eq!(shown("loaded", active).refused(3, "").out, "stopped\n");
    }
    for active in ["activating", "deactivating", "reloading"] {
        shown("loaded", active).refused(4, active);
    }
    // `is-active` would say inactive, and a misspelt node would be proven down.
    shown("not-found", "inactive").refused(4, "is not loaded");
    scene.fake("systemctl", "exit 1");
    unit(&scene, "status").refused(4, "does not answer");
}

/// Docker with the services app1 and app2; the state of app1's container is in the file `state`.
fn compose() -> Scene {
    let scene = Scene::new();
    scene.write("srv/.env", "# tags\nNOCOBASE_TAG=2.2.15\nOTHER='a & b'\n");
    scene.write("container", "c0ffee");
    scene.write("state", "running 2026-11-22T16:44:43.1Z");
    scene.write("policy", "on-failure");
    scene.fake(
        "docker",
        r#"case "$*" in
            *'config --services') printf 'app1\napp2\n' ;;
            *'ps --all --quiet app1') cat "$scene/container" ;;
            *RestartPolicy*) cat "$scene/policy" ;;
            *State*) cat "$scene/state" ;;
            *'{{.Image}}'*) echo sha256:abc ;;
            *pull*) printf '%s\n' "$NOCOBASE_TAG" >"$scene/pulled" ;;
        esac"#,
    );
    scene
}

fn service(scene: &Scene, verb: &str, node: &str) -> Done {
    scene.run("compose", verb, &[("{node}", node)])
}

#[test]
fn compose_starts_and_stops_one_service_and_no_other() {
    let scene = compose();
    let project = format!("docker [compose] [--project-directory] [{}]", scene.text("srv"));
    service(&scene, "start", "app1").well();
    let up = format!("{project} [up] [--detach] [--no-deps] [--pull] [never] [app1]");
    assert_eq!(scene.calls()[0], up);
    service(&scene, "stop", "app1").well();
    assert_eq!(scene.calls(), [format!("{project} [stop] [--timeout] [60] [app1]")]);
    service(&scene, "logs", "app1").well();
    assert!(scene.calls()[0].ends_with("[--tail] [50] [app1]"));
    assert_eq!(service(&scene, "build", "app1").well().out, "sha256:abc\n");
    scene.fake("docker", "exit 17");
    service(&scene, "start", "app1").refused(1, "was not started");
    service(&scene, "stop", "app1").refused(1, "was not stopped");
}

#[test]
fn a_restart_policy_that_a_reboot_triggers_is_warned_of() {
    let scene = compose();
    assert!(!service(&scene, "start", "app1").well().err.contains("warning"));
    for policy in ["always", "unless-stopped"] {
        scene.write("policy", policy);
        let said = service(&scene, "start", "app1").well().err;
        assert!(said.contains("a rebooted host starts all nodes at once"), "{said}");
    }
}

#[test]
fn the_state_of_a_service_is_running_stopped_or_unknown() {
    let scene = compose();
    let status = || service(&scene, "status", "app1");
    assert_eq!(status().well().out, "running\nstarted=2026-11-22T16:44:43.1Z\n");
    for state in ["exited", "created", "dead"] {
        scene.write("state", &format!("{state} 2026-11-22T16:44:43.1Z"));
        assert_eq!(status().refused(3, "").out, "stopped\n");
    }
    for state in ["restarting", "paused", "removing"] {
        scene.write("state", &format!("{state} 2026-11-22T16:44:43.1Z"));
        status().refused(4, state);
    }
    scene.write("container", "c0ffee\nc0ffef\n");
    status().refused(4, "more than one container");
    scene.write("container", "");
    assert_eq!(status().refused(3, "").out, "stopped\n");
    service(&scene, "status", "ap1").refused(4, "no service 'ap1'");
    scene.fake("docker", "exit 1");
    status().refused(4, "does not read");
}

#[test]
fn compose_takes_the_new_tag_once_its_image_is_here_and_the_old_one_back() {
    let scene = compose();
    let image = |verb, version| scene.run("compose", verb, &[("{version}", version)]);
    image("revert", "2.3.0").refused(1, "the old tag is not known");
    image("update", "").refused(2, "--to VERSION");
    image("update", "2/3").refused(2, "not an image's tag");
    image("update", "2.3.0").well();
    assert_eq!(scene.read("pulled"), "2.3.0\n");
    assert!(scene.calls().iter().any(|call| call.ends_with("[pull] [app1] [app2]")));
    assert_eq!(scene.read("srv/.env"), "# tags\nNOCOBASE_TAG=2.3.0\nOTHER='a & b'\n");
    // A retry does not take the new tag for the old one.
    image("update", "2.3.0").well();
    image("revert", "2.3.0").well();
    assert_eq!(scene.read("srv/.env"), "# tags\nNOCOBASE_TAG=2.2.15\nOTHER='a & b'\n");
}

#[test]
fn an_image_that_cannot_be_fetched_leaves_the_tag_alone() {
    let scene = compose();
    scene.fake("docker", "exit 18");
    let update = || scene.run("compose", "update", &[("{version}", "2.3.0")]);
    update().refused(1, "nothing was changed");
    assert!(scene.read("srv/.env").contains("NOCOBASE_TAG=2.2.15\n"));
    scene.write("srv/.env", "NOCOBASE_TAG=1\nNOCOBASE_TAG=2\n");
    update().refused(1, "just one line");
}

/// A StatefulSet `nocobase` whose pods are the lines of the file `pods`; each asking takes one away.
fn kubernetes() -> Scene {
    let mut scene = Scene::new();
    scene.set("WAIT", "2");
    scene.write("image", "registry.example.org/nocobase/nocobase:2.2.15");
    scene.write("pods", "");
    scene.fake(
        "kubectl",
        r#"case "$*" in
            *'get pods'*) cat "$scene/pods"; sed -i '$d' "$scene/pods" ;;
            *'set image'*) for word; do :; done; printf '%s' "${word#*=}" >"$scene/image" ;;
            *'containers[?(@.name=="app")].image'*) cat "$scene/image" ;;
            *imageID*) printf registry@sha256:abc ;;
            *'get pod nocobase-'*) cat "$scene/pod" ;;
        esac"#,
    );
    scene
}

fn asked(scene: &Scene) -> Vec<String> {
    let lead = "kubectl [--namespace] [nocobase] ";
    let short = |call: String| call.strip_prefix(lead).expect("the namespace").to_owned();
    let without = |call: String| call.replace("[--request-timeout=20s] ", "");
    scene.calls().into_iter().map(short).map(without).collect()
}

#[test]
fn a_stateful_set_is_scaled_and_waited_for() {
    let scene = kubernetes();
    scene.write("pods", "pod/nocobase-worker-1\npod/nocobase-0\npod/nocobase-1\n");
    scene.run("kubernetes", "stop_all", &[]).well();
    let gone = ["[get] [pods] [--output] [name]"; 3];
    let calls = asked(&scene);
    assert_eq!(calls[0], "[scale] [statefulset/nocobase] [--replicas=0]");
    assert_eq!(calls[1..], gone, "until no pod of the set is left, and no other set's counts");
    scene.run("kubernetes", "start_first", &[]).well();
    assert_eq!(
        asked(&scene),
        [
            "[scale] [statefulset/nocobase] [--replicas=1]",
            "[rollout] [status] [statefulset/nocobase] [--timeout=2s]",
        ]
    );
    scene.run("kubernetes", "start_others", &[]).well();
    assert_eq!(asked(&scene)[0], "[scale] [statefulset/nocobase] [--replicas=2]");
}

#[test]
fn the_others_are_stopped_and_the_first_pod_is_kept() {
    let scene = kubernetes();
    scene.write("pods", "pod/nocobase-0\npod/nocobase-1\n");
    scene.run("kubernetes", "stop_others", &[]).well();
    assert_eq!(asked(&scene)[0], "[scale] [statefulset/nocobase] [--replicas=1]");
}

#[test]
fn a_pod_that_stays_or_a_cluster_that_is_silent_is_an_error() {
    let scene = kubernetes();
    scene.fake("kubectl", "case \"$*\" in *'get pods'*) echo pod/nocobase-1 ;; esac");
    scene.run("kubernetes", "stop_all", &[]).refused(1, "still there after 2 s: nocobase-1");
    scene.fake("kubectl", "case \"$*\" in *'get pods'*) exit 1 ;; esac");
    scene.run("kubernetes", "stop_all", &[]).refused(1, "does not say which pods are left");
    scene.fake("kubectl", "case \"$*\" in *rollout*) exit 1 ;; esac");
    scene.run("kubernetes", "start_first", &[]).refused(1, "is not ready with 1");
}

#[test]
fn an_image_is_set_while_no_pod_runs_and_the_old_one_is_put_back() {
    let scene = kubernetes();
    let image = |verb, version| scene.run("kubernetes", verb, &[("{version}", version)]);
    image("revert", "2.3.0").refused(1, "the old image is not known");
    scene.write("pods", "pod/nocobase-0\n");
    image("update", "2.3.0").refused(1, "stop them all first");
    image("update", "").refused(2, "--to VERSION");
    scene.write("pods", "");
    for _ in 0..2 {
        image("update", "2.3.0").well();
        assert_eq!(scene.read("image"), "registry.example.org/nocobase/nocobase:2.3.0");
    }
    image("revert", "2.3.0").well();
    assert_eq!(scene.read("image"), "registry.example.org/nocobase/nocobase:2.2.15");
}

#[test]
fn the_state_of_a_pod_is_running_stopped_or_unknown() {
    let scene = kubernetes();
    let status = |node| scene.run("kubernetes", "status", &[("{node}", node)]);
    let pod = |text: &str| {
        scene.write("pod", text);
        status("nocobase-0")
    };
    let time = "2026-11-22T16:44:43Z";
    let running = pod(&format!("phase=Running;deleted=;started={time};waiting=;")).well();
    assert_eq!(running.out, format!("running\nstarted={time}\n"));
    assert_eq!(pod("").refused(3, "").out, "stopped\n");
    pod("phase=Running;deleted=;started=;waiting=CrashLoopBackOff;").refused(4, "CrashLoop");
    pod("phase=Pending;deleted=;started=;waiting=;").refused(4, "neither running nor gone");
    let ending = format!("phase=Running;deleted={time};started={time};waiting=;");
    pod(&ending).refused(4, "neither running nor gone");
    // A misspelt one is not there either.
    for wrong in ["nocobase0", "nocobase-", "nocobase-x1", "other-0"] {
        status(wrong).refused(4, "no pod of statefulset/nocobase");
    }
    let build = scene.run("kubernetes", "build", &[("{node}", "nocobase-0")]).well();
    assert_eq!(build.out, "registry@sha256:abc");
    scene.fake("kubectl", "exit 1");
    status("nocobase-0").refused(4, "cannot be read");
}
