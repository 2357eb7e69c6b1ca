import ArgumentParser
import Crypto
import Glibc
import Ledger
import Model

/// What the commands about dead letters share: the ledger, and how its refusals are told.
struct LetterDesk {
    let state: String
    let console = Console()

    init(state: String) { self.state = state }

    /// Looks at the ledger.
    func reading(_ body: (DeadLetterReader) throws(LedgerError) -> Void) throws {
        do throws(LedgerError) {
            try body(DeadLetterReader(directory: state))
        } catch {
            throw refuse("\(error)")
        }
    }

    /// Says what is wrong and gives the exit code for it.
    func refuse(_ message: String) -> ExitCode {
        console.line("error: \(message)")
        return Exit.badSetup
    }

    /// What to say of a number that is no dead letter: what became of it, or which ones are near.
    func unknown(_ id: Int64, _ reader: DeadLetterReader) throws(LedgerError) -> String {
        var filter = DeadLetterFilter()
        filter.ids = [id]
        if let gone = try reader.removed(filter, limit: 1).first {
            let removal = gone.removal
            return "dead letter \(id) is gone: \(removal.outcome.rawValue) at \(SystemTime.rfc3339(removal.time)) by"
                + " \(removal.person)"
        }
        let near = try reader.neighbours(of: id)
        guard !near.isEmpty else { return "there is no dead letter \(id), nor any other" }
        let list = near.map(String.init).joined(separator: " and ")
        return "there is no dead letter \(id); near it: \(list). `dead-letters list` shows them all"
    }
}

/// Who uses the program, as the kernel knows them: nothing here comes from the environment, which anybody may set.
enum Person {
    /// `name (uid 1000) on host`; and whose login it was, if that is another and the kernel keeps count.
    static var current: String {
        let own = geteuid()
        var text = name(own)
        if let login = loginUser, login != own { text += ", logged in as \(name(login))" }
        var host = [CChar](repeating: 0, count: 256)
        if unsafe gethostname(&host, host.count - 1) == 0 {
            text += " on \(String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))"
        }
        return text
    }

    private static func name(_ user: uid_t) -> String {
        guard let entry = unsafe getpwuid(user), let start = unsafe entry.pointee.pw_name else { return "uid \(user)" }
        return unsafe "\(String(cString: start)) (uid \(user))"
    }

    /// The audit system's mark of who logged in; it survives su and sudo (proc_pid_loginuid(5)).
    private static var loginUser: uid_t? {
        let descriptor = unsafe open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let room = bytes.count
        let count = unsafe read(descriptor, &bytes, room)
        let text = String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 0 && $0 != 0x0A }, as: UTF8.self)
        return uid_t(text).flatMap { $0 == .max ? nil : $0 }
    }
}

/// How wide standard output is.
enum OutputWidth {
    /// Columns, if it is a terminal; nil else.
    static var current: Int? {
        var size = winsize()
        guard isatty(STDOUT_FILENO) == 1, unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
        return size.ws_col > 20 ? Int(size.ws_col) : nil
    }
}
