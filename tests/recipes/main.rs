//! The recipes under `contrib/`: their fragments of configuration are right, and the scripts that they
//! name do what they say, on real programs where this machine has them and on fakes otherwise.

mod fragments;
mod mysql;
mod nodes;
mod orchestrated;
mod postgres;
mod remote;
mod scene;
mod storage;
