@testable import Protocol

/// Sets the length field to what is there, and the checksum of those frames that have one.
func mended(_ frame: [UInt8]) -> [UInt8] {
    var frame = frame
    guard frame.count >= Frame.headerBytes else { return frame }
    let length = UInt32(frame.count - Frame.lengthBytes)
    for byte in 0..<4 { frame[byte] = UInt8(truncatingIfNeeded: length >> (24 - 8 * byte)) }
    guard MessageType(rawValue: frame[5])?.hasChecksum == true, frame.count >= Frame.headerBytes + 4 else {
        return frame
    }
    let end = frame.count - 4
    let sum = CRC32C.of(frame.span, 0..<end)
    for byte in 0..<4 { frame[end + byte] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * byte)) }
    return frame
}
