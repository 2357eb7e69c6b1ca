/// What values the settings of the formats may have, for the configuration file and the command line alike.
public enum FormatBounds {
    /// `cefVersion`: the two that exist; `facility`: RFC 5424, section 6.2.1; `enterpriseId`: 32 bits, and IANA keeps 0.
    public static let whole: [String: ClosedRange<Int>] = [
        "cefVersion": 0...1, "facility": 0...23, "enterpriseId": 1...4_294_967_295,
    ]

    /// `maxMessageBytes`: every receiver takes 480 bytes (RFC 5424, section 6.1).
    public static let messageBytes = 480...(1 << 20)

    /// `vendor` and `product`: device vendor and product of CEF hold 63 characters.
    public static let headerBytes = 63

    /// What is wrong with `name` as APP-NAME; nil if nothing is (RFC 5424, section 6: 1 to 48 of PRINTUSASCII).
    public static func mistake(inAppName name: String) -> String? {
        let isPrintable = name.utf8.allSatisfy { 0x21...0x7E ~= $0 }
        guard isPrintable, 1...48 ~= name.utf8.count else {
            return "cannot be an APP-NAME: expected 1 to 48 printable ASCII characters without spaces"
        }
        return nil
    }
}
