public import ExportCore
import Glibc
import Threading

/// What a failed system call means for the records that were to be written.
public enum FileVerdict {
    /// The verdict for error number `code` of doing `what` to `path`. Nothing counts as written.
    public static func of(_ code: Int32, _ what: String, _ path: String) -> Verdict {
        let said = "cannot \(what) \(path): \(systemErrorText(code))"
        let reason = Reason(code: "errno-\(code)", message: said + advice(code))
        switch code {
        case EACCES, EPERM, EROFS, ENOTDIR, ENOENT, EISDIR, ENAMETOOLONG, ELOOP: return .configuration(reason)
        default: return .retry(reason, retryAfterMilliseconds: nil)
        }
    }

    /// Bytes are missing that were vouched for.
    static func shrunk(_ committed: OutputFile, _ what: String) -> Verdict {
        let message =
            "\(committed.path) \(what), but \(committed.length) bytes were written and recorded as delivered: somebody"
            + " cut, removed or replaced it. Restore the file, or move the state directory aside"
        return .configuration(Reason(code: "file-shrunk", message: message))
    }

    /// There is more than what a crash leaves.
    static func grown(_ committed: OutputFile, to length: UInt64) -> Verdict {
        let message =
            "\(committed.path) has \(length) bytes, but only \(committed.length) of them are recorded as"
            + " delivered, too few to be what a crash left: does it belong to another state directory? Restore"
            + " that one, or give the target another directory or name"
        return .configuration(Reason(code: "file-grew", message: message))
    }

    /// The complete file at `path` cannot get its final name.
    static func nameTaken(_ path: String) -> Verdict {
        let message = "\(path) is complete, but another file has the name it should get; move that one away"
        return .configuration(Reason(code: "file-exists", message: message))
    }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "; free some space: exporting goes on by itself"
        case EACCES, EPERM: "; give the exporter's user the right to write there"
        case EROFS: "; the file system is mounted read-only"
        case EWOULDBLOCK: "; another exporter writes to it: let only one use this directory and target name"
        case ENOTDIR, ENOENT: "; the directory of endpoint must exist or be creatable"
        default: ""
        }
    }
}
