//! Types declared by their canonical print: the order of the fields in the code is the order in the text.

/// Gives types that print as one string their canonical text.
macro_rules! word {
    ($($type:ty),* $(,)?) => {
        $(
            impl $crate::text::Word for $type {}
            impl $crate::text::Text for $type {
                fn print(&self, to: &mut $crate::text::Printer) {
                    to.string(&alloc::string::ToString::to_string(self));
                }
                fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                    from.word()
                }
            }
        )*
    };
}
pub(crate) use word;

/// Declares a struct whose canonical print is an object with exactly these fields in this order.
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl $crate::text::Text for $name {
            fn print(&self, to: &mut $crate::text::Printer) {
                to.object(|to| { $(to.field(stringify!($field), &self.$field);)* });
            }
            fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                from.object(|from| Ok(Self { $($field: from.field(stringify!($field))?,)* }))
            }
        }
    };
}
pub(crate) use record;

/// Declares an enumeration whose values print as strings.
macro_rules! keyword {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vdoc])* $variant,)* }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }

        impl core::str::FromStr for $name {
            type Err = alloc::string::String;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(alloc::format!("one of {:?}", [$($word),*])),
                }
            }
        }

        $crate::text::word!($name);
    };
}
pub(crate) use keyword;

/// Declares an alternative: an object with one key that says which (`{"labels": {…}}`).
macro_rules! alternative {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident($type:ty) = $tag:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vdoc])* $variant($type),)* }

        impl $crate::text::Text for $name {
            fn print(&self, to: &mut $crate::text::Printer) {
                to.object(|to| match self { $(Self::$variant(value) => to.field($tag, value),)* });
            }
            fn parse(from: &mut $crate::text::Parser<'_>) -> Result<Self, $crate::text::TextError> {
                from.object(|from| {
                    $(if from.has_field($tag) {
                        return from.field($tag).map(Self::$variant);
                    })*
                    Err(from.error(alloc::format!("one of the keys {:?}", [$($tag),*])))
                })
            }
        }
    };
}
pub(crate) use alternative;
