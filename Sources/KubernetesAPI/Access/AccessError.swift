/// Why a cluster cannot be reached as configured. Never holds any part of a credential.
public struct AccessError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for code that has to decide.
    public enum Kind: Sendable, Equatable {
        /// This process does not run in a pod of a cluster, or its service account is not mounted.
        case notInCluster
        /// A file cannot be read.
        case unreadable
        /// A kubeconfig is not YAML, or not of its form.
        case malformed
        /// What is named is not there.
        case missing
        /// It is there, and cannot be used here for good reason.
        case unsupported
        /// An exec plugin did not give a credential.
        case plugin
        /// An exec plugin has not answered in the time that there was.
        case late
        /// The task was cancelled while an exec plugin ran.
        case cancelled
    }

    /// What went wrong.
    public let kind: Kind
    /// What is wrong, where, and what to do.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
