/// Why a secret could not be read. Never holds any part of the secret's value.
public struct SecretError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for code that has to decide.
    public enum Kind: Sendable, Equatable {
        /// The secret's name or the key is not a single file name.
        case badName
        /// The file is there but cannot be read; the error number of the system call.
        case unreadable(errno: Int32)
        /// The file is a directory, a pipe or a device.
        case notAFile
        /// Nothing is in the file, or only a line break.
        case empty
        /// The file is longer than ``SecretDirectory/maxBytes``.
        case tooLong
        /// A NUL, carriage return or line feed is in the value; in a header it would start another (RFC 9110 5.5).
        case controlCharacter
        /// The file is not UTF-8.
        case notText
        /// The secret's folder is not there.
        case absent
        /// A file that restricts whom TLS trusts was there and is gone.
        case withdrawn
        /// The file changed at every attempt to read it.
        case unsteady
    }

    /// What went wrong.
    public let kind: Kind
    /// What is wrong with which file, and what to do.
    public let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
