//! Who may do what, and the audit.

use std::os::unix::fs::PermissionsExt;

use drawspan::control::wire::SwitchBody;

use crate::harness::{Audit, Fake, Gateway, body, curl_as, until};

/// The roles need other users, and only root can become them.
fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[tokio::test]
async fn a_member_of_the_socket_s_group_may_look_and_not_touch() {
    if !is_root() {
        return;
    }
    let log = Audit::install();
    let gateway = Gateway::in_group(Fake::new(), 4242).await;
    // The group is a supplementary one: the kernel's credentials alone do not show it.
    let member = ["--reuid", "65534", "--regid", "65534", "--groups", "77,4242"];
    let look = curl_as(&member, &gateway.path, &["http://g/v1/status"]).await;
    assert!(look.contains("\"revision\":7"), "{look}");
    let touch = ["-X", "PUT", "-d", r#"{"kind":"maintenance"}"#, "http://g/v1/mode"];
    let touch = curl_as(&member, &gateway.path, &touch).await;
    assert!(touch.contains("\"code\":\"not_allowed\""), "{touch}");
    assert!(gateway.engine.last_command().is_none());
    until(|| log.text().contains("outcome=\"not_allowed\"")).await;
    assert!(log.text().contains("uid=65534"), "{}", log.text());
}

#[tokio::test]
async fn a_stranger_is_nobody_even_where_the_file_lets_it_in() {
    if !is_root() {
        return;
    }
    let gateway = Gateway::start(Fake::new()).await;
    let stranger = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let barred = curl_as(&stranger, &gateway.path, &["http://g/v1/status"]).await;
    assert_eq!(barred, "", "the file's rights keep it out");
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&gateway.path, open).expect("opened");
    let heard = curl_as(&stranger, &gateway.path, &["http://g/v1/status"]).await;
    assert!(heard.contains("\"code\":\"not_allowed\""), "{heard}");
    assert!(!heard.contains("nodes"), "{heard}");
}

#[tokio::test]
async fn every_attempt_is_in_the_audit() {
    let log = Audit::install();
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let body_with_why = SwitchBody { why: Some("moving".into()), ..body("maintenance") };
    client.switch(&body_with_why, &Default::default()).await.expect("switched");
    client.switch(&body("maintenance"), &Default::default()).await.expect("nothing to do");
    client.switch(&body("nonsense"), &Default::default()).await.expect_err("no such mode");
    until(|| log.text().lines().filter(|line| line.contains("audit")).count() == 3).await;
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("what=mode maintenance from_revision=7"), "{text}");
    assert!(lines[0].contains("why=\"moving\" outcome=\"done\""), "{text}");
    assert!(lines[1].contains("outcome=\"unchanged\""), "{text}");
    assert!(lines[2].contains("outcome=\"bad_request\""), "{text}");
}
