//! The restblk program; everything is in the library, so that tests reach it.

fn main() -> std::process::ExitCode {
    restblk_cli::main(std::env::args_os())
}
