import Glibc
import Model
import Threading

/// Runs a program without a shell, for its standard output. Blocks; for a thread of its own.
///
/// Promises:
/// 1. The program and all that it started in its process group is gone when this returns: what takes longer than it may, or
///    writes more, is killed.
/// 2. It gets no standard input and none of this process's other files.
/// 3. What it writes to standard error goes nowhere: programs that are asked for more detail print tokens there.
struct ExecProcess {
    /// Longest accepted standard output, bytes.
    static let maxOutputBytes = 256 << 10

    var path: String
    var arguments: [String]
    /// `NAME=value`, all of them.
    var environment: [String]
    var milliseconds: UInt64

    /// How it went.
    struct Outcome {
        var output: [UInt8] = []
        /// As wait(2) has it; nil if the program could not be started.
        var status: Int32?
        /// errno(3) of the start.
        var startError: Int32 = 0
        var timedOut = false
        var tooLong = false
    }

    func run() -> Outcome {
        var outcome = Outcome()
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else {
            outcome.startError = errno
            return outcome
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        var pid: pid_t = 0
        outcome.startError = start(&pid, output: ends[1])
        // Only the program may hold the end that is written to, or reading would never end.
        close(ends[1])
        if outcome.startError == 0 { collect(pid, ends[0], &outcome) }
        return outcome
    }

    private typealias CloseFrom =
        @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, CInt) -> CInt

    /// posix_spawn_file_actions_addclosefrom_np(3) of glibc 2.34, which Swift does not import. Libraries do not mark all of their
    /// files as not to be inherited, and a list of them would be old before it is used.
    private static var closeFrom: CloseFrom? {
        guard let symbol = unsafe dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return nil }
        return unsafe unsafeBitCast(symbol, to: CloseFrom.self)
    }

    private func start(_ pid: inout pid_t, output: Int32) -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        guard let closeFrom = unsafe Self.closeFrom else { return ENOSYS }
        unsafe _ = closeFrom(&actions, 3)
        // The thread's mask has every signal blocked, and would be inherited.
        var none = sigset_t()
        var all = sigset_t()
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words: [UnsafeMutablePointer<CChar>?] = unsafe ([path] + arguments).map { unsafe strdup($0) }
        var variables: [UnsafeMutablePointer<CChar>?] = unsafe environment.map { unsafe strdup($0) }
        unsafe words.append(nil)
        unsafe variables.append(nil)
        let code = unsafe posix_spawn(&pid, path, &actions, &attributes, &words, &variables)
        while let word = unsafe words.popLast() { unsafe free(word) }
        while let word = unsafe variables.popLast() { unsafe free(word) }
        return code
    }

    private func collect(_ pid: pid_t, _ output: Int32, _ outcome: inout Outcome) {
        let deadline = SystemClock.now().adding(milliseconds: milliseconds)
        var isOpen = true
        while isOpen {
            let left = deadline.milliseconds(since: SystemClock.now())
            guard left > 0 else {
                outcome.timedOut = true
                break
            }
            var wait = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&wait, 1, Int32(clamping: left)) > 0 else { continue }
            isOpen = take(output, &outcome.output)
            if outcome.output.count > Self.maxOutputBytes {
                outcome.tooLong = true
                break
            }
        }
        // It may have closed its output and go on; then it has until the deadline, too.
        while !outcome.timedOut, !outcome.tooLong {
            var status: Int32 = 0
            let done = unsafe waitpid(pid, &status, WNOHANG)
            if done == pid {
                outcome.status = status
                kill(-pid, SIGKILL)
                return
            }
            if done < 0, errno != EINTR { break }
            outcome.timedOut = deadline <= SystemClock.now()
            usleep(2_000)
        }
        kill(-pid, SIGKILL)
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        outcome.status = status
    }

    /// Reads what there is; false at the end.
    private func take(_ file: Int32, _ into: inout [UInt8]) -> Bool {
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        let count = unsafe read(file, &piece, piece.count)
        if count < 0 { return errno == EINTR || errno == EAGAIN }
        into += piece[..<count]
        return count > 0
    }

    /// Where a program lies, as execvp(3) looks for it; nil if nowhere. A name with a slash is a path.
    static func find(_ command: String, path: String) -> String? {
        if command.utf8.contains(0x2F) { return unsafe access(command, X_OK) == 0 ? command : nil }
        for folder in path.split(separator: ":") where folder.hasPrefix("/") {
            let candidate = "\(folder)/\(command)"
            if unsafe access(candidate, X_OK) == 0 { return candidate }
        }
        return nil
    }
}
