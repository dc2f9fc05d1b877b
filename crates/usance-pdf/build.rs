//! Copies the font files out of the crate that carries them, which gives out outlines but not the files.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The crate, at the version that the workspace pins.
const CARRIER: &str = "fonterator";
const CARRIER_VERSION: &str = "0.9.0";

/// Where the fonts are in the crate.
const FONTS: [&str; 4] =
    ["droid/SansFallback.ttf", "dejavu/Sans.ttf", "noto/SansHebrew.ttf", "noto/SansDevanagari.ttf"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let fonts = carrier_directory(&out)?.join("src/font");
    for font in FONTS {
        fs::copy(fonts.join(font), out.join(font.replace('/', "-")))?;
    }
    Ok(())
}

/// Asks cargo where the crate's files are: a package of its own needs nothing that has not been fetched already.
fn carrier_directory(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let probe = out.join("probe");
    fs::create_dir_all(probe.join("src"))?;
    fs::write(probe.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\n{CARRIER} = \"={CARRIER_VERSION}\"\n\n[workspace]\n"
    );
    fs::write(probe.join("Cargo.toml"), manifest)?;
    let cargo = env::var_os("CARGO").ok_or("CARGO is not set")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(probe.join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let carrier =
        packages.iter().find(|package| package["name"] == CARRIER).ok_or("the font crate is missing")?;
    let manifest = carrier["manifest_path"].as_str().ok_or("the font crate has no path")?;
    Ok(Path::new(manifest).parent().ok_or("the font crate has no directory")?.to_path_buf())
}
