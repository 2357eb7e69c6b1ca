/// What every frame begins with, and its bounds. PROTOCOL.md, "Frames".
///
/// | byte | field |
/// |---|---|
/// | 0–3 | length: how many bytes follow this field |
/// | 4 | version: 0 for the messages of the handshake, else the session's |
/// | 5 | type |
/// | 6–7 | flags |
/// | 8… | payload |
public enum Frame {
    /// Bytes of the length field, which does not count itself.
    public static let lengthBytes = 4
    /// Bytes before the payload.
    public static let headerBytes = 8
    /// Highest value of the length field: 16 MiB for version, type, flags and payload together.
    public static let maxLength = 16 << 20
    /// The same before a version was agreed: no message of the handshake needs more, and a peer that has not introduced
    /// itself is trusted with no more.
    public static let maxHandshakeLength = 1 << 20
    /// Bytes at the end of `records` and `outcomes`: CRC-32C of all bytes of the frame before them.
    static let checksumBytes = 4

    /// How many bytes the frame takes that `bytes` begin with, length field included; nil if fewer than four are there.
    /// So a frame's room is known, and refused, before anything is allocated for it.
    /// - Throws: ``ProtocolError``: the length is below 4 or above `limit`.
    public static func size(
        _ bytes: borrowing Span<UInt8>, limit: Int = Frame.maxLength
    ) throws(ProtocolError) -> Int? {
        guard bytes.count >= lengthBytes else { return nil }
        let length = (0..<lengthBytes).reduce(0) { $0 << 8 | Int(bytes[$1]) }
        guard length <= limit else {
            throw ProtocolError(.tooLarge, "frame", "length", at: 0, expected: "at most \(limit)", found: "\(length)")
        }
        guard length >= headerBytes - lengthBytes else {
            throw ProtocolError(
                .truncated, "frame", "length", at: 0, expected: "at least \(headerBytes - lengthBytes)",
                found: "\(length)")
        }
        return lengthBytes + length
    }

    /// How many bytes a `records` frame of `count` records with together `bytes` bytes takes, length field included.
    public static func recordsSize(count: Int, bytes: Int) -> Int {
        headerBytes + 8 + 4 + 4 + count * (RecordColumns.key + RecordColumns.grant + RecordColumns.length) + 4 + bytes
            + checksumBytes
    }
}

/// Bytes per element of the columns in a frame.
enum RecordColumns {
    static let key = 16
    static let grant = 6
    static let length = 4
    static let claim = 14
}

/// The sixteen flags of a frame. Of those that are not named here, a receiver ignores the lower eight and refuses the
/// upper eight: a later version puts there what must not be ignored.
enum FrameFlags {
    /// A receiver that does not know the type skips the frame.
    static let skippable: UInt16 = 0x0001
    /// The flags that are an error if they are not known.
    static let critical: UInt16 = 0xFF00
}

/// The types of frames. Each has an even number of bits set, so that no single damaged bit makes one of another: frames
/// without a checksum stay apart from those with one.
enum MessageType: UInt8, CaseIterable, Sendable {
    case hello = 0x03
    case welcome = 0x05
    case notLeader = 0x06
    case heartbeat = 0x09
    case assign = 0x0A
    case revoke = 0x0C
    case released = 0x0F
    case records = 0x11
    case outcomes = 0x12
    case settled = 0x14
    case gate = 0x17
    case drain = 0x18
    case error = 0x1B

    /// Its name in errors and in PROTOCOL.md.
    var name: String {
        switch self {
        case .hello: "hello"
        case .welcome: "welcome"
        case .notLeader: "not-leader"
        case .heartbeat: "heartbeat"
        case .assign: "assign"
        case .revoke: "revoke"
        case .released: "released"
        case .records: "records"
        case .outcomes: "outcomes"
        case .settled: "settled"
        case .gate: "gate"
        case .drain: "drain"
        case .error: "error"
        }
    }

    /// Whether it may be said before a version was agreed, and so reads alike in every version.
    var isHandshake: Bool {
        switch self {
        case .hello, .welcome, .notLeader, .error: true
        default: false
        }
    }

    /// Whether the frame ends with a checksum.
    var hasChecksum: Bool { self == .records || self == .outcomes }
}

extension Message {
    var type: MessageType {
        switch self {
        case .hello: .hello
        case .welcome: .welcome
        case .notLeader: .notLeader
        case .heartbeat: .heartbeat
        case .assign: .assign
        case .revoke: .revoke
        case .released: .released
        case .records: .records
        case .outcomes: .outcomes
        case .settled: .settled
        case .gate: .gate
        case .drain: .drain
        case .error: .error
        }
    }

    /// Its name, as in PROTOCOL.md: for logs and metrics.
    public var name: String { type.name }
}

/// Longest texts and lists, fixed by the protocol. Names that are longer are refused, by either side; reasons are cut by
/// the sender.
public enum ProtocolBounds {
    /// Names of members and targets, bytes of UTF-8, at least one.
    public static let nameBytes = 255
    /// `host:port`, bytes.
    public static let addressBytes = 512
    /// ``TargetHealth/reason``, bytes.
    public static let healthReasonBytes = 256
    /// All other reasons and messages, bytes.
    public static let reasonBytes = 1024
    /// Targets of a session: the bits of ``RecordsFrame/targets``.
    public static let targets = 32
    /// Shards in a list of claims or grants.
    public static let shards = 1 << 16
}
