import Configuration
import Glibc

/// Where a member's certificates are, or that there are none and it keeps to this machine.
enum PeerDirectory {
    case at(String)
    case none
    /// They were meant to be there: to go on without TLS would be a surprise.
    case unreadable(mistake: String)

    /// - Parameter option: what the command line says; it is not looked at before it is used.
    init(option: String?, _ cluster: ClusterSettings) {
        if let option {
            self = .at(option)
            return
        }
        let directory = cluster.peerCertificates
        guard unsafe access(directory + "/tls.crt", R_OK) != 0 else {
            self = .at(directory)
            return
        }
        let cause = unsafe String(cString: strerror(errno))
        let isThere = unsafe access(directory, F_OK) == 0
        let isMeant = isThere || directory != ClusterSettings().peerCertificates
        self =
            isMeant
            ? .unreadable(
                mistake:
                    "cluster.peerCertificates: \(directory)/tls.crt cannot be read: \(cause); put the member's tls.crt,"
                    + " tls.key and ca.crt there, or leave the key out to do without TLS on this machine")
            : .none
    }
}
