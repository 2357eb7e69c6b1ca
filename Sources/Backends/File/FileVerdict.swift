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
