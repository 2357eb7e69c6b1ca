import ExportCore
import KubernetesAPI

/// What a watch of one Lease has shown, so that its reader looks as soon as there is something new. Pure.
///
/// A watch is behind or ahead of what is read. So versions are compared as numbers, which grow with every write; of those that
/// are none nothing is said, and the reader looks when it would anyway.
struct LeaseNews: Sendable {
    private var newest: (revision: UInt64, isThere: Bool)?
    private var isShown = false

    /// Everything is shown anew.
    mutating func restarted() { isShown = false }

    /// The Lease was shown.
    mutating func shown(revision: UInt64, isDeleted: Bool) {
        isShown = true
        if let newest, revision < newest.revision { return }
        newest = (revision, !isDeleted)
    }

    /// Everything that there is at `revision` was shown since ``restarted()``.
    mutating func listed(revision: UInt64) {
        guard !isShown else { return }
        shown(revision: revision, isDeleted: true)
    }

    /// Whether the Lease seems not to be in version `since` any more; nil: whether there seems to be one.
    func isNews(since: LeaseVersion?) -> Bool {
        guard let newest else { return false }
        guard let since else { return newest.isThere }
        return UInt64(since.text).map { newest.revision > $0 } ?? false
    }
}
