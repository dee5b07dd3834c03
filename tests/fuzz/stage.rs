//! A whole gateway in front of the played node.

use std::thread;
use std::time::Duration;

use crate::common::{InProcess, Wish};
use crate::scene::Scene;

/// A gateway with one worker over a played node.
pub struct Stage {
    pub scene: Scene,
    pub gateway: InProcess,
}

impl Stage {
    pub fn new() -> Self {
        let mut scene = Scene::new();
        let address = scene.address();
        let starting = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let directory = tempfile::tempdir().expect("a folder");
            let wish = Wish { workers: 1, ..Wish::default() };
            runtime.expect("a runtime").block_on(InProcess::start_over(directory, &[address], wish))
        });
        // Its probes want answers.
        while !starting.is_finished() {
            scene.pump(Duration::from_millis(10));
        }
        Self { scene, gateway: starting.join().expect("the gateway starts") }
    }
}
