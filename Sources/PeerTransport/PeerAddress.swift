internal import NIOCore

/// Addresses: their text, and which of them never leave the machine.
enum PeerAddress {
    /// `10.0.0.7:40112` or `[fd00::7]:40112`.
    static func text(_ address: SocketAddress?) -> String {
        guard let address, let host = address.ipAddress, let port = address.port else { return "an unknown address" }
        return text(host: host, port: port)
    }

    static func text(host: String, port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Whether an address is one of loopback: 127.0.0.0/8 (RFC 1122, 3.2.1.3) or ::1 (RFC 4291, 2.5.3).
    static func isLoopback(_ address: SocketAddress?) -> Bool {
        switch address {
        case .v4: address?.ipAddress?.hasPrefix("127.") == true
        case .v6: address?.ipAddress == "::1"
        default: false
        }
    }

    static func refusal(_ place: String) -> PeerError {
        PeerError(
            .notLoopback,
            "\(place) is not a loopback address, and without mutual TLS members of the cluster speak over loopback only; "
                + "give them certificates, or let all of them run on this machine")
    }
}
