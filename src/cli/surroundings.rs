//! What a configuration names on this machine and `run` needs: files, folders, a group. Looked at
//! for this process's user, and nothing is made or opened for good, so that `check` may ask as well.
//!
//! What may change from one moment to the next (ports, another gateway's locks) is left to the start.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::{AccessLog, Config, Environment, Loaded, Problems};
use crate::control::{self, SocketError};
use crate::notice::{Notice, NoticeSettings};

/// Everything that would keep `run` from starting with this configuration, each with its key.
pub(super) fn problems(loaded: &Loaded, environment: &Environment) -> Problems {
    let config = &loaded.config;
    let found = [
        ("state_dir", state_dir(&config.state_dir)),
        ("control.path", control_path(config, environment)),
        ("control.group", group(config)),
        ("notice.page", notice_page(config)),
        ("log.access", access_log(config)),
    ];
    let mut problems = Problems::default();
    for (key, wrong) in found {
        if let Err(message) = wrong {
            problems.add(loaded.place(key), message);
        }
    }
    problems.in_order()
}

type Looked = Result<(), String>;

/// It is made where it is absent, with all that leads to it.
fn state_dir(path: &Path) -> Looked {
    let path = absolute(path);
    let there = path.ancestors().find(|part| part.exists()).unwrap_or(&path);
    folder(there).map_err(|why| {
        let wanted = path.display();
        let what = if there == path { why } else { format!("{wanted} cannot be made: {why}") };
        format!("{what}; name a folder that lasts and that this user may write in")
    })
}

fn control_path(config: &Config, environment: &Environment) -> Looked {
    let path = absolute(&config.control.path);
    if let Ok(found) = fs::symlink_metadata(&path)
        && !found.file_type().is_socket()
    {
        return Err(SocketError::NotASocket { path }.to_string());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = config.control.path == environment.control_path();
    match (parent.is_dir(), parent.parent()) {
        (false, Some(above)) if made => folder(above),
        (false, _) => return Err(SocketError::NoFolder { folder: parent.to_owned() }.to_string()),
        (true, _) => folder(parent),
    }
    .map_err(|why| format!("{why}; name a socket in a folder that this user may write in"))
}

/// Its owner may give the socket to a group of its own only.
fn group(config: &Config) -> Looked {
    let Some(name) = &config.control.group else { return Ok(()) };
    let gid = control::group_id(name).map_err(|unknown| unknown.to_string())?;
    let user = rustix::process::geteuid();
    let of_user = rustix::process::getgroups().unwrap_or_default();
    let member =
        of_user.iter().any(|own| own.as_raw() == gid) || rustix::process::getegid().as_raw() == gid;
    if user.is_root() || member {
        return Ok(());
    }
    Err(format!(
        "{} is not in group {name} and cannot give the socket to it; add it (`usermod -aG {name}`), \
         or name another group",
        control::user_name(user.as_raw())
    ))
}

fn notice_page(config: &Config) -> Looked {
    let page = config.notice.page.clone();
    let settings = NoticeSettings { page, ..NoticeSettings::default() };
    Notice::new(&settings).map(|_| ()).map_err(|error| error.to_string())
}

fn access_log(config: &Config) -> Looked {
    let AccessLog::File(path) = &config.log.access else { return Ok(()) };
    let path = absolute(path);
    let instead = "name a file in a folder that this user may write in, or \"stdout\" or \"off\"";
    let looked = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(format!("{} is a folder", path.display())),
        Ok(_) => may_write(&path, Access::WRITE_OK),
        Err(_) => folder(path.parent().unwrap_or(&path)),
    };
    looked.map_err(|why| format!("{why}; {instead}"))
}

/// Can something be made in it?
fn folder(path: &Path) -> Looked {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => may_write(path, Access::WRITE_OK | Access::EXEC_OK),
        Ok(_) => Err(format!("{} is not a directory", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{} does not exist", path.display()))
        }
        Err(error) => Err(format!("cannot look at {}: {error}", path.display())),
    }
}

fn may_write(path: &Path, access: Access) -> Looked {
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(|error| {
        let user = control::user_name(rustix::process::geteuid().as_raw());
        format!("{user} may not write {}: {}", path.display(), io::Error::from(error))
    })
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
