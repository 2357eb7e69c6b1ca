internal import COpenSSL

/// What OpenSSL refused, with its whole error queue.
public struct CryptoError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Kind: Sendable, Equatable {
        /// A digest could not be computed.
        case digest
        /// No active FIPS provider.
        case fips
        /// Certificate, key or another setting of a TLS context.
        case tlsConfiguration
        /// A handshake failed, or a record was damaged.
        case tlsProtocol
        /// The peer ended the connection without saying so: what it sent may be cut short.
        case tlsTruncated
    }

    /// Which of them.
    public let kind: Kind
    /// What was attempted, why it failed and what to do.
    public let message: String
    /// OpenSSL's error queue of that moment, oldest first; empty if it recorded nothing.
    public let queue: [String]

    init(_ kind: Kind, _ message: String, queue: [String] = OpenSSLErrorQueue.drain()) {
        self.kind = kind
        self.message = message
        self.queue = queue
    }

    /// The message, then the error queue.
    public var description: String {
        queue.isEmpty ? message : message + " [OpenSSL: " + queue.joined(separator: "; ") + "]"
    }
}

/// The calling thread's error queue of OpenSSL.
enum OpenSSLErrorQueue {
    /// Forgets what earlier calls left behind, so that the next error's text is its own.
    static func clear() { ERR_clear_error() }

    /// Takes all entries, oldest first.
    static func drain() -> [String] {
        var entries: [String] = []
        while true {
            var data: UnsafePointer<CChar>?
            var flags: Int32 = 0
            let code = unsafe ERR_get_error_all(nil, nil, nil, &data, &flags)
            guard code != 0 else { return entries }
            var text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
                unsafe ERR_error_string_n(code, buffer.baseAddress, buffer.count)
                guard let start = buffer.baseAddress else { return "" }
                return unsafe String(cString: start)
            }
            if flags & ERR_TXT_STRING != 0, let data = unsafe data {
                let detail = unsafe String(cString: data)
                if !detail.isEmpty { text += " (" + detail + ")" }
            }
            entries.append(text)
        }
    }
}
