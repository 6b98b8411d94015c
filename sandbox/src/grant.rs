//! What a grant means to the kernel: exact Landlock rights on its root.
//!
//! | right | Landlock | not among it |
//! | --- | --- | --- |
//! | read (always) | `read_file`, `read_dir`, `execute` | names and sizes elsewhere: `stat` is nobody's right |
//! | write | `write_file`, `truncate` | making the file: a new one that is to hold something needs `create` and `write` |
//! | create | `make_reg`, `make_dir`, `make_sym`, `make_fifo`, `make_sock` | devices, ever |
//! | delete | `remove_file`, `remove_dir`: also what a rename takes away | |
//! | any of the three | `refer`: links and renames between directories, where both sides have the rights | |
//!
//! Without `delete` no lock file goes away: `git init` fails. `chmod` and its kin are nobody's right in Landlock; a grant
//! without any of the three is mounted read-only, which stops them too.

use baton_proto::spec::Grant;
use landlock::{ABI, Access as _, AccessFs, BitFlags, make_bitflags};

/// To read and execute everything in a directory.
pub const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});

/// To see which names there are.
pub const LIST: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadDir});

/// To see which sockets there are and to connect to them. Before Landlock 9 no rule is needed for the latter.
pub const CONNECT: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadDir | ResolveUnix});

/// To use a device.
pub const DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});

/// To do everything with files, but for making devices.
pub const WHOLE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    Execute | ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | MakeFifo | MakeSock | RemoveFile
        | RemoveDir | Refer | ResolveUnix
});

/// What a grant gives on its root; its output roots have [`WHOLE`].
#[must_use]
pub fn rights(grant: &Grant) -> BitFlags<AccessFs> {
    let mut rights = READ;
    if grant.write {
        rights |= make_bitflags!(AccessFs::{WriteFile | Truncate});
    }
    if grant.create {
        rights |= make_bitflags!(AccessFs::{MakeReg | MakeDir | MakeSym | MakeFifo | MakeSock});
    }
    if grant.delete {
        rights |= make_bitflags!(AccessFs::{RemoveFile | RemoveDir});
    }
    if changes(grant) {
        // A socket that the session made in its own tree is its own to connect to.
        rights |= make_bitflags!(AccessFs::{Refer | ResolveUnix});
    }
    rights
}

/// Whether anything at its root may be changed.
#[must_use]
pub const fn changes(grant: &Grant) -> bool {
    grant.write || grant.create || grant.delete
}

/// Whether everything at its root may be changed.
#[must_use]
pub const fn is_whole(grant: &Grant) -> bool {
    grant.write && grant.create && grant.delete
}

/// What the kernel takes of these rights, on a directory or on a file.
#[must_use]
pub fn known(rights: BitFlags<AccessFs>, abi: ABI, directory: bool) -> BitFlags<AccessFs> {
    let known = rights & AccessFs::from_all(abi);
    if directory { known } else { known & AccessFs::from_file(abi) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_is_exact() {
        use AccessFs::{
            Execute, MakeDir, MakeFifo, MakeReg, MakeSock, MakeSym, ReadDir, ReadFile, Refer, RemoveDir, RemoveFile,
            ResolveUnix, Truncate, WriteFile,
        };
        let read = Execute | ReadFile | ReadDir;
        let write = WriteFile | Truncate;
        let create = MakeReg | MakeDir | MakeSym | MakeFifo | MakeSock;
        let delete = RemoveFile | RemoveDir;
        let any = Refer | ResolveUnix;
        let table = [
            ((false, false, false), read),
            ((true, false, false), read | write | any),
            ((false, true, false), read | create | any),
            ((false, false, true), read | delete | any),
            ((true, true, false), read | write | create | any),
            ((true, false, true), read | write | delete | any),
            ((false, true, true), read | create | delete | any),
            ((true, true, true), WHOLE),
        ];
        for ((write, create, delete), expected) in table {
            let grant = Grant { root: "/g".to_owned(), write, create, delete, output_roots: Vec::new() };
            assert_eq!(rights(&grant), expected, "{grant:?}");
            assert_eq!(changes(&grant), write || create || delete);
            assert_eq!(is_whole(&grant), expected == WHOLE);
        }
    }

    #[test]
    fn nobody_is_granted_a_device() {
        for never in [AccessFs::MakeChar, AccessFs::MakeBlock, AccessFs::IoctlDev] {
            assert!(!WHOLE.contains(never), "{never:?}");
        }
    }

    #[test]
    fn an_older_kernel_takes_what_it_knows() {
        assert!(!known(WHOLE, ABI::V1, true).contains(AccessFs::Refer));
        assert!(known(WHOLE, ABI::V2, true).contains(AccessFs::Refer));
        assert!(known(WHOLE, ABI::Unsupported, true).is_empty());
        assert_eq!(known(READ, ABI::V6, false), AccessFs::Execute | AccessFs::ReadFile);
    }
}
