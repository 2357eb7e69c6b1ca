import Formats
import Model

/// What libFuzzer calls with each input: one record for the reader, and if the reader takes it, for every encoder; the
/// grammars read what they write. Built by `make fuzz-coverage`, no part of the package.
enum FuzzTarget {
    private static let encoders: [FormatEncoder] = {
        let stamp = ExportStamp(version: "0.1.0", cluster: "c|l=u\\s]t\"e\nr é")
        var tight = FormatOptions()
        tight.maxMessageBytes = 512
        tight.vendor = "V|e=n\\d\"o]r é"
        tight.cefVersion = 1
        return [FormatOptions(), tight].flatMap { options in
            FormatKind.allCases.map { FormatEncoder($0, stamp: stamp, options: options) }
        }
    }()

    static func run(_ input: [UInt8]) {
        var reader = ProbeResultReader()
        guard (try? reader.read(input.span, 0..<input.count)) != nil else { return }
        for encoder in encoders {
            var out = ByteWriter(capacity: 64)
            encoder.encode(reader.record, of: input.span, into: &out)
            let line = out.seal().array
            do throws(LineFault) {
                try LineGrammar.check(line, as: encoder)
            } catch {
                fatalError("\(error): \(String(decoding: line, as: UTF8.self))")
            }
        }
    }
}

/// libFuzzer's entry point.
@_cdecl("LLVMFuzzerTestOneInput") func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    unsafe FuzzTarget.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
