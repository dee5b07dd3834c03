//! Drawspan: a load-balancer sidecar and maintenance gateway for NocoBase clusters.
//!
//! The modules stand on floors; an import points down, never up (ARCHITECTURE.md has the map, and
//! `tests/floors.rs` holds it).

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod drivers;
pub mod edge;
pub mod engine;
pub mod failpoint;
pub mod fence;
pub mod health;
pub mod http1;
pub mod journal;
pub mod model;
pub mod nocobase;
pub mod notice;
pub mod procedure;
pub mod proxy;
pub mod routing;
pub mod standin;
pub mod telemetry;
pub mod upstream;
