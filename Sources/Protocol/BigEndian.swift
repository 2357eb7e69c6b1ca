internal import Model

/// Integers as the protocol writes them: the highest byte first.
extension ByteWriter {
    mutating func append(bigEndian value: some FixedWidthInteger & BitwiseCopyable) {
        unsafe append(room: value.bitWidth / 8) { out in
            unsafe UnsafeMutableRawBufferPointer(out).storeBytes(of: value.bigEndian, as: type(of: value))
            return value.bitWidth / 8
        }
    }

    /// Overwrites four bytes that were written before.
    mutating func replace(at index: Int, withBigEndian value: UInt32) {
        for byte in 0..<4 { replace(at: index + byte, with: UInt8(truncatingIfNeeded: value >> (24 - 8 * byte))) }
    }

    mutating func append(_ keys: [RecordKey]) {
        unsafe append(room: keys.count * RecordColumns.key) { out in
            let raw = UnsafeMutableRawBufferPointer(out)
            for (index, key) in keys.enumerated() {
                let at = index &* RecordColumns.key
                unsafe raw.storeBytes(of: key.high.bigEndian, toByteOffset: at, as: UInt64.self)
                unsafe raw.storeBytes(of: key.low.bigEndian, toByteOffset: at &+ 8, as: UInt64.self)
            }
            return keys.count * RecordColumns.key
        }
    }

    mutating func append(_ grants: [ShardGrant]) {
        unsafe append(room: grants.count * RecordColumns.grant) { out in
            let raw = UnsafeMutableRawBufferPointer(out)
            for (index, grant) in grants.enumerated() {
                let at = index &* RecordColumns.grant
                unsafe raw.storeBytes(of: grant.shard.bigEndian, toByteOffset: at, as: UInt16.self)
                unsafe raw.storeBytes(of: grant.epoch.bigEndian, toByteOffset: at &+ 2, as: UInt32.self)
            }
            return grants.count * RecordColumns.grant
        }
    }

    mutating func append(_ lengths: [UInt32]) {
        unsafe append(room: lengths.count * RecordColumns.length) { out in
            let raw = UnsafeMutableRawBufferPointer(out)
            for (index, length) in lengths.enumerated() {
                unsafe raw.storeBytes(of: length.bigEndian, toByteOffset: index &* 4, as: UInt32.self)
            }
            return lengths.count * RecordColumns.length
        }
    }
}
