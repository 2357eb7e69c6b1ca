import Glibc
import Model
import Testing

@_spi(NextRelease) @testable import Protocol

/// One frame.
func frame(_ message: Message, version: UInt8? = 1, release: ProtocolRelease = .current) throws -> [UInt8] {
    var encoder = FrameEncoder(release: release)
    encoder.version = version
    var out = ByteWriter()
    try encoder.encode(message, into: &out)
    return out.seal().array
}

/// What a session of `version` makes of it.
func message(
    _ frame: [UInt8], version: UInt8? = 1, release: ProtocolRelease = .current
) throws(ProtocolError) -> Message? {
    var decoder = FrameDecoder(release: release)
    // A welcome says its own.
    decoder.version = frame.count > 5 && frame[5] == MessageType.welcome.rawValue ? nil : version
    return try decoder.decode(frame.span)
}

/// The error of decoding, nil if there is none.
func fault(_ frame: [UInt8], version: UInt8? = 1, release: ProtocolRelease = .current) -> ProtocolError? {
    do throws(ProtocolError) {
        _ = try message(frame, version: version, release: release)
        return nil
    } catch {
        return error
    }
}

func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

/// A finding in a loop of many cases, with what replays it.
struct Finding: Error, CustomStringConvertible {
    var description: String
}

/// Cases of the seeded fuzzing: `make test` runs 20 000, `make fuzz` a million.
let fuzzCases = unsafe getenv("SIDEREAL_FUZZ_CASES").flatMap { unsafe Int(String(cString: $0)) } ?? 20_000

/// The bytes of a file.
func contents(_ path: String) throws -> [UInt8] {
    guard let file = unsafe fopen(path, "r") else { throw Finding(description: "\(path) cannot be read") }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe fread(&chunk, 1, chunk.count, file)
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
    }
}
