//! The grammar of what is written to the files: that of the driver of 2014, read exactly. Pure.

use crate::errno::Refusal;
use crate::node::{DeviceFile, File};
use nix::errno::Errno;
use restblk_types::{ByteCount, VolumeName};

/// Longest name of a device, in characters: what a kernel's disk name had room for.
const DEVICE_LEN_MAX: usize = 31;

/// A command, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    AddUrls(Vec<String>),
    RemoveUrls(Vec<String>),
    Create(VolumeName, ByteCount),
    Extend(VolumeName, ByteCount),
    Destroy(VolumeName),
    Attach(VolumeName, String),
    Detach(String),
    Debug(u8),
}

impl Command {
    /// Reads what was written to a file of a pool.
    pub(crate) fn read(file: File, text: &[u8]) -> Result<Self, Refusal> {
        let line = line(text)?;
        match file {
            File::AddUrls => Ok(Self::AddUrls(list(line)?)),
            File::RemoveUrls => Ok(Self::RemoveUrls(list(line)?)),
            File::Create => words(line, ["a name", "a size"])
                .and_then(|[name, size]| Ok(Self::Create(volume(name)?, self::size(size)?))),
            File::Extend => words(line, ["a name", "a size"])
                .and_then(|[name, size]| Ok(Self::Extend(volume(name)?, self::size(size)?))),
            File::Destroy => words(line, ["a name"]).and_then(|[name]| Ok(Self::Destroy(volume(name)?))),
            File::Attach => words(line, ["a name", "a device"])
                .and_then(|[name, device]| Ok(Self::Attach(volume(name)?, self::device(device)?))),
            File::Detach => words(line, ["a device"]).map(|[device]| Self::Detach(device.to_owned())),
            File::Urls | File::Volumes | File::LastError => {
                Err(Refusal::new(Errno::EACCES, "the file is only read"))
            }
        }
    }

    /// Reads what was written to a file of a device.
    pub(crate) fn read_device(file: DeviceFile, text: &[u8]) -> Result<Self, Refusal> {
        if file != DeviceFile::Debug {
            return Err(Refusal::new(Errno::EACCES, "the file is only read"));
        }
        let [level] = words(line(text)?, ["a level"])?;
        match level.as_bytes() {
            [digit @ b'0'..=b'7'] => Ok(Self::Debug(digit - b'0')),
            _ => Err(invalid(format!("\"{level}\" is no level from 0 to 7"))),
        }
    }
}

/// What to write to a file; what reading it gives.
pub(crate) fn usage(file: File) -> Option<&'static str> {
    Some(match file {
        File::AddUrls => {
            "Usage: echo 'http://HOST[:PORT]/PATH[,URL]...' > add_urls\nAdds mirrors of the repository of volumes.\n"
        }
        File::RemoveUrls => {
            "Usage: echo 'URL[,URL]...' > remove_urls\nRemoves mirrors; the last one only while nothing is attached.\n"
        }
        File::Create => "Usage: echo 'NAME SIZE[k|M|G]' > create\nCreates a volume.\n",
        File::Extend => "Usage: echo 'NAME SIZE[k|M|G]' > extend\nMakes a volume larger, attached or not.\n",
        File::Destroy => "Usage: echo 'NAME' > destroy\nDeletes a volume and all that is in it.\n",
        File::Attach => {
            "Usage: echo 'NAME DEVICE' > attach\nAttaches a volume as /dev/restblk/by-name/DEVICE.\n"
        }
        File::Detach => "Usage: echo 'DEVICE' > detach\nDetaches a device; its volume stays.\n",
        File::Urls | File::Volumes | File::LastError => return None,
    })
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::new(Errno::EINVAL, reason)
}

/// The one line that was written, with or without its newline.
fn line(text: &[u8]) -> Result<&str, Refusal> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let line = std::str::from_utf8(text).map_err(|_| invalid("the command is not text"))?;
    match line.chars().find(|char| char.is_control() && *char != '\t') {
        Some('\n') => Err(invalid(
            "one write is one command, and this one has several lines",
        )),
        Some(char) => Err(invalid(format!("the command has the character {char:?}"))),
        None => Ok(line),
    }
}

fn words<'a, const N: usize>(line: &'a str, wanted: [&str; N]) -> Result<[&'a str; N], Refusal> {
    let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let count = words.len();
    words
        .try_into()
        .map_err(|_| invalid(format!("write {}; that were {count} words", wanted.join(" and "))))
}

fn list(line: &str) -> Result<Vec<String>, Refusal> {
    let line = line.trim();
    if line.is_empty() {
        return Err(invalid("there is no URL"));
    }
    Ok(line.split(',').map(|url| url.trim().to_owned()).collect())
}

fn volume(name: &str) -> Result<VolumeName, Refusal> {
    name.parse()
        .map_err(|error: restblk_types::NameError| invalid(error.to_string()))
}

fn device(name: &str) -> Result<String, Refusal> {
    if name.chars().count() > DEVICE_LEN_MAX {
        return Err(invalid(format!(
            "the device's name has more than {DEVICE_LEN_MAX} characters"
        )));
    }
    // The alphabet of volumes is that of file names that need no quoting.
    volume(name)
        .map(String::from)
        .map_err(|_| invalid(format!("\"{name}\" is no name for a device")))
}

/// Digits and `k`, `M` or `G`: nothing else, not even what the rest of restblk understands.
fn size(text: &str) -> Result<ByteCount, Refusal> {
    let no_size = || {
        invalid(format!(
            "\"{text}\" is no size: write digits, then k, M, G or nothing"
        ))
    };
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_size());
    }
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    bytes
        .map(ByteCount)
        .ok_or_else(|| invalid(format!("{text} is more than 64 bits of bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> VolumeName {
        text.parse().unwrap()
    }

    #[test]
    fn sizes_have_the_drivers_units_alone() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1k", 1 << 10),
            ("10M", 10 << 20),
            ("10G", 10 << 30),
        ] {
            assert_eq!(size(text).unwrap(), ByteCount(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "G",
            "-1",
            "+1",
            "1.5G",
            "1K",
            "1T",
            "1GiB",
            "1 G",
            "0x10",
            "18446744073709551616",
            "17179869184G",
        ] {
            assert_eq!(size(text).unwrap_err().errno, Errno::EINVAL, "{text}");
        }
    }

    #[test]
    fn commands_are_read_with_and_without_a_newline() {
        let wanted = Command::Create(name("vol1"), ByteCount(1 << 30));
        for text in ["vol1 1G\n", "vol1 1G", "  vol1\t 1G  \n"] {
            assert_eq!(
                Command::read(File::Create, text.as_bytes()).unwrap(),
                wanted,
                "{text:?}"
            );
        }
        let wanted = Command::Attach(name("vol1"), "a".repeat(31));
        assert_eq!(
            Command::read(File::Attach, format!("vol1 {}\n", "a".repeat(31)).as_bytes()).unwrap(),
            wanted
        );
        let urls = Command::read(File::AddUrls, b"http://a/v,http://b/v\n").unwrap();
        assert_eq!(
            urls,
            Command::AddUrls(vec!["http://a/v".into(), "http://b/v".into()])
        );
    }

    #[test]
    fn what_is_not_in_the_grammar_is_einval() {
        for (file, text) in [
            (File::Create, "vol1"),
            (File::Create, "vol1 1G more"),
            (File::Create, ""),
            (File::Create, "\n"),
            (File::Create, "a 1G\nb 1G\n"),
            (File::Create, "a/b 1G"),
            (File::Create, "a\0 1G"),
            (File::Extend, "vol1 big"),
            (File::Destroy, "two words"),
            (File::Attach, "vol1"),
            (File::Attach, "vol1 dev extra"),
            (File::Attach, "vol1 a/b"),
            (File::Attach, "vol1 .."),
            (File::Attach, "vol1 12345678901234567890123456789012"),
            (File::Detach, ""),
            (File::Detach, "a b"),
            (File::AddUrls, " \n"),
        ] {
            assert_eq!(
                Command::read(file, text.as_bytes()).unwrap_err().errno,
                Errno::EINVAL,
                "{file:?} {text:?}"
            );
        }
        assert_eq!(
            Command::read(File::Create, b"\xff 1G").unwrap_err().errno,
            Errno::EINVAL
        );
    }

    #[test]
    fn levels_go_from_0_to_7() {
        assert_eq!(
            Command::read_device(DeviceFile::Debug, b"7\n").unwrap(),
            Command::Debug(7)
        );
        for text in ["8", "-1", "07", "", "x"] {
            assert!(
                Command::read_device(DeviceFile::Debug, text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
