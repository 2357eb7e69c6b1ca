import Model

@_spi(NextRelease) @testable import Protocol

/// What libFuzzer calls with each input: one frame, as it is and with its length and checksum set right, for this release
/// and the next. Built by `make fuzz-coverage`, no part of the package.
enum FuzzTarget {
    static func run(_ input: [UInt8]) {
        check(input, .current)
        let mended = mended(input)
        check(mended, .current)
        check(mended, .next)
    }

    /// What is accepted must be a message that is written and read again as it is.
    private static func check(_ input: [UInt8], _ release: ProtocolRelease) {
        guard input.count > Frame.headerBytes else { return }
        // A welcome says the session's version, a handshake has none.
        let isWelcome = input[5] == MessageType.welcome.rawValue
        var decoder = FrameDecoder(release: release)
        decoder.version = isWelcome || input[4] == 0 ? nil : input[4]
        var encoder = FrameEncoder(release: release)
        encoder.version = decoder.version
        guard let read = try? decoder.decode(input.span) else { return }
        var out = ByteWriter(capacity: 64)
        do throws(ProtocolError) {
            try encoder.encode(read, into: &out)
            guard try decoder.decode(out.seal()) == read else { fatalError("not the same twice: \(read)") }
        } catch {
            fatalError("read, but not written and read again: \(error): \(read)")
        }
    }
}

/// libFuzzer's entry point.
@_cdecl("LLVMFuzzerTestOneInput") func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    unsafe FuzzTarget.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
