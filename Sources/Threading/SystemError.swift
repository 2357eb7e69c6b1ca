import Glibc

/// A refusal by the system, as its error number.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    /// errno(3).
    public var code: Int32

    /// The refusal with number `code`.
    public init(code: Int32) { self.code = code }

    /// The system's words, such as "No space left on device".
    public var description: String { systemErrorText(code) }
}

/// The system's words for an error number, such as "No space left on device".
public func systemErrorText(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    // The POSIX form, which is what Swift imports: it fills the buffer and returns an error number.
    guard unsafe strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
