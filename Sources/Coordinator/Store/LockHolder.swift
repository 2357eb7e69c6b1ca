import Glibc

/// Who holds a lock of flock(2), as far as proc(5) shows it.
struct LockHolder {
    private let process: Int
    private let program: String
    private let isStopped: Bool

    /// For an error: who it is, and what to do.
    var words: String {
        let who = ", process \(process) (\(program))"
        return isStopped
            ? who + ", which is stopped: let it go on with `kill -CONT \(process)`, or end it"
            : who + "; if that goes on, it hangs or the disk is slow"
    }

    /// Nil if the system does not show it, as for a process of another container.
    static func find(descriptor: Int32) -> LockHolder? {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, let locks = text("locks") else { return nil }
        // 12: FLOCK  ADVISORY  WRITE 4242 fe:01:393220 0 EOF
        for line in locks.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[5].hasSuffix(":\(status.st_ino)"),
                let process = Int(words[4]), process > 0, let found = text("\(process)/stat"),
                let open = found.firstIndex(of: "("), let close = found.lastIndex(of: ")")
            else { continue }
            // 4242 (name, which may hold anything) T …
            return LockHolder(
                process: process, program: String(found[found.index(after: open)..<close]),
                isStopped: found[close...].dropFirst(2).first.map { $0 == "T" || $0 == "t" } ?? false)
        }
        return nil
    }

    private static func text(_ name: String) -> String? {
        let bytes = try? StoreDirectory("/proc", lockMilliseconds: 0).read(name, limit: 1 << 20)
        return bytes.map { String(decoding: $0, as: UTF8.self) }
    }
}
