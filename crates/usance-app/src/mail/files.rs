//! Mails as files, for whoever has no mail server at hand: each is one `.eml` in a directory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use futures_util::{FutureExt, future::BoxFuture};
use lettre::message::Mailbox;
use tokio::task::spawn_blocking;

use super::{
    MailFault, Mailer,
    compose::{Mail, Way, compose},
};

/// Files that are kept; the oldest give way.
const FILES_MAX: usize = 1_000;

/// Writes mails into a directory that only the server's own user may read: they hold tokens.
#[derive(Debug)]
pub struct FileMailer {
    dir: PathBuf,
}

impl FileMailer {
    /// Writes into a directory, which is made with the first mail.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Mailer for FileMailer {
    fn send<'a>(&'a self, from: &'a Mailbox, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailFault>> {
        async move {
            let (_, bytes) =
                compose(from, mail, Way::EightBit).map_err(|error| MailFault::Refused(error.to_string()))?;
            let name = format!("{}-{}.eml", mail.created_at.strftime("%Y%m%dT%H%M%SZ"), mail.id);
            let dir = self.dir.clone();
            let written = spawn_blocking(move || write(&dir, &name, &bytes)).await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(MailFault::Later(format!("the file cannot be written: {error}"))),
                Err(_) => Err(MailFault::Later("the file was not written".to_owned())),
            }
        }
        .boxed()
    }
}

/// Writes a draft first, so that whoever watches the directory sees whole mails alone.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = dir.join(format!(".{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(name))?;
    File::open(dir)?.sync_all()?;
    forget_oldest(dir)
}

/// Names begin with the time.
fn forget_oldest(dir: &Path) -> io::Result<()> {
    let mut mails = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            mails.push(path);
        }
    }
    mails.sort_unstable();
    let surplus = mails.len().saturating_sub(FILES_MAX);
    for path in &mails[..surplus] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::{FILES_MAX, forget_oldest};

    #[test]
    fn of_many_mails_the_newest_thousand_stay() {
        let dir = std::env::temp_dir().join(format!("usance-mail-files-{}", process::id()));
        fs::create_dir(&dir).unwrap();
        for number in 0..FILES_MAX + 3 {
            fs::write(dir.join(format!("{number:05}.eml")), "").unwrap();
        }
        fs::write(dir.join("00000.txt"), "").unwrap();

        forget_oldest(&dir).unwrap();

        let left = |name: &str| dir.join(name).exists();
        let (kept, gone) = (["00003.eml", "01002.eml", "00000.txt"], ["00000.eml", "00002.eml"]);
        assert!(kept.into_iter().all(left) && !gone.into_iter().any(left));
        fs::remove_dir_all(dir).unwrap();
    }
}
