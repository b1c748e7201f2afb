//! What a process becomes: a program with its arguments and its environment, in the shape that execve(2) takes (edge).

use std::ffi::{CStr, CString, NulError, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use nix::libc;
use rustix::io::Errno;

/// What runs a file that is executable and of no format that the kernel knows: a script without a first line that names
/// its interpreter, as in execvp(3).
const SHELL: &CStr = c"/bin/sh";

/// A program, ready to be executed. Each list of pointers ends with a null pointer, and points into `strings`.
pub(crate) struct Image {
    /// The path of the program, its name, its arguments, its environment. Nothing is added: the text of each stays where
    /// it is.
    strings: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    shell_arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

impl Image {
    /// Makes one. The name is what the program is told as its own.
    ///
    /// # Errors
    /// There is a byte 0 in the path, in the name, in an argument or in a variable.
    pub(crate) fn new(
        program: &Path,
        name: &OsStr,
        args: &[OsString],
        env: &[(OsString, OsString)],
    ) -> Result<Image, NulError> {
        let mut strings = vec![
            CString::new(program.as_os_str().as_bytes())?,
            CString::new(name.as_bytes())?,
        ];
        for arg in args {
            strings.push(CString::new(arg.as_bytes())?);
        }
        let first_variable = strings.len();
        for (name, value) in env {
            strings.push(CString::new(variable(name, value))?);
        }
        let (words, variables) = strings.split_at(first_variable);
        let (path, words) = words.split_at(1);
        let script = [SHELL, &path[0]].into_iter();
        let args = words.iter().skip(1).map(CString::as_c_str);
        Ok(Image {
            arguments: ended(words.iter().map(|word| word.as_ptr())),
            shell_arguments: ended(script.chain(args).map(CStr::as_ptr)),
            environment: ended(variables.iter().map(|variable| variable.as_ptr())),
            strings,
        })
    }

    /// Has this process become the program; gives why it could not. It is async-signal-safe.
    pub(crate) fn replace_process(&self) -> Errno {
        let errno = self.execute(&self.strings[0], &self.arguments);
        if errno == Errno::NOEXEC {
            // Without a shell it is still the format of the program that is at fault.
            self.execute(SHELL, &self.shell_arguments);
        }
        errno
    }

    fn execute(&self, path: &CStr, arguments: &[*const libc::c_char]) -> Errno {
        #[expect(
            unsafe_code,
            reason = "what there is of safe covers allocates, which a new process must not"
        )]
        // SAFETY: the strings end with a byte 0, the lists with a null pointer, and both live as long as this.
        unsafe {
            libc::execve(path.as_ptr(), arguments.as_ptr(), self.environment.as_ptr())
        };
        Errno::from_raw_os_error(nix::errno::Errno::last_raw())
    }
}

fn variable(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

fn ended(pointers: impl Iterator<Item = *const libc::c_char>) -> Vec<*const libc::c_char> {
    pointers.chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_0_is_refused_wherever_it_is() {
        let made = |program: &str, arg: &str, value: &str| {
            let env = [(OsString::from("A"), OsString::from(value))];
            let name = OsStr::new(program);
            Image::new(Path::new(program), name, &[arg.into()], &env).is_ok()
        };
        assert!(made("/bin/true", "a", "b"));
        assert!(!made("/bin/tr\0ue", "a", "b"));
        assert!(!made("/bin/true", "a\0", "b"));
        assert!(!made("/bin/true", "a", "\0b"));
    }
}
