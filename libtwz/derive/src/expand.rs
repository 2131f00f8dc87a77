// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a struct to its `unsafe impl Persist`, or to the errors that say what to write instead.
//!
//! Refused here: what can be seen in the tokens (enums, unions, the representation, lifetimes).
//! Refused by the compiler, through what is emitted here: a field that is not `Persist`, and
//! padding. `lib.rs` is the door; `twz::persist` has the trait and the hash.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{
    Attribute, Data, DataStruct, DeriveInput, Error, Field, Generics, Ident, LitStr, Member,
    Result, Type, parse_quote,
};

/// The implementation of `Persist` for `input`, or `compile_error!`s at the places to change.
pub fn expand(input: DeriveInput) -> TokenStream {
    match checked(&input) {
        Ok((name, fields)) => implementation(&input, &name, &fields),
        Err(refused) => refused.into_compile_error(),
    }
}

/// A field as the fingerprint sees it.
struct Part<'a> {
    /// The name that is hashed: the field's own, or the one it was given.
    name: String,
    /// How to name it in `offset_of!`.
    member: Member,
    ty: &'a Type,
}

/// The name and the fields to hash, or every reason to refuse.
fn checked(input: &DeriveInput) -> Result<(String, Vec<Part<'_>>)> {
    let body = struct_body(input)?;
    let mut refused = Refusals::default();
    refused.note(check_repr(input));
    refused.note(check_lifetimes(&input.generics));
    let name = refused.note(name_of(&input.attrs, &input.ident));
    let parts: Vec<_> =
        body.fields.iter().enumerate().map(|(i, field)| refused.note(part(i, field))).collect();
    refused.into_result()?;
    Ok((name.unwrap_or_default(), parts.into_iter().flatten().collect()))
}

/// Errors gathered so that a user sees all of them at once.
#[derive(Default)]
struct Refusals(Option<Error>);

impl Refusals {
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => return Some(value),
            (Err(new), Some(all)) => all.combine(new),
            (Err(new), none) => *none = Some(new),
        }
        None
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn struct_body(input: &DeriveInput) -> Result<&DataStruct> {
    let what = match &input.data {
        Data::Struct(body) => return Ok(body),
        Data::Enum(_) => {
            "an enum cannot live in an object, because not every bit pattern is one of its variants"
        }
        Data::Union(_) => {
            "a union cannot live in an object, because its bytes do not say which field they are"
        }
    };
    let name = input.ident.unraw();
    Err(refuse(
        &input.ident,
        format!(
            "{what}: use a newtype with named constants, \
             `#[repr(transparent)] struct {name}(u8)` or `(u32)`"
        ),
    ))
}

fn check_repr(input: &DeriveInput) -> Result<()> {
    let mut fixed = false;
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("packed") {
                return Err(meta.error(
                    "a packed struct cannot live in an object, because its fields cannot be \
                     borrowed: remove `packed`, order the fields by size \
                     and add explicit reserved fields",
                ));
            }
            fixed |= meta.path.is_ident("C") || meta.path.is_ident("transparent");
            // The argument of `align(N)`; the compiler checks it.
            if meta.input.peek(syn::token::Paren) {
                let argument;
                syn::parenthesized!(argument in meta.input);
                argument.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    if fixed {
        return Ok(());
    }
    let name = input.ident.unraw();
    Err(refuse(
        &input.ident,
        format!(
            "`{name}` cannot live in an object, because each compiler may lay it out differently: \
             add `#[repr(C)]`, or `#[repr(transparent)]` for a newtype"
        ),
    ))
}

fn check_lifetimes(generics: &Generics) -> Result<()> {
    match generics.lifetimes().next() {
        None => Ok(()),
        Some(lifetime) => Err(refuse(
            lifetime,
            "a borrow cannot live in an object, which outlives the program: \
             remove the lifetime and use `twz::Ptr` instead of the reference"
                .to_string(),
        )),
    }
}

fn part(index: usize, field: &Field) -> Result<Part<'_>> {
    let (member, ident) = match &field.ident {
        Some(ident) => (Member::Named(ident.clone()), ident.clone()),
        None => (Member::Unnamed(index.into()), format_ident!("_{index}")),
    };
    Ok(Part { name: name_of(&field.attrs, &ident)?, member, ty: &field.ty })
}

/// What `#[persist(name = "...")]` says, or else the identifier.
fn name_of(attrs: &[Attribute], ident: &Ident) -> Result<String> {
    let mut name: Option<String> = None;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("persist")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("unknown attribute: expected `#[persist(name = \"...\")]`"));
            }
            let given = meta.value()?.parse::<LitStr>()?.value();
            if given.is_empty() {
                return Err(meta.error("the name is empty: give the name this had before"));
            }
            if name.replace(given).is_some() {
                return Err(meta.error("the name is given twice: keep one"));
            }
            Ok(())
        })?;
    }
    Ok(name.unwrap_or_else(|| ident.unraw().to_string()))
}

fn implementation(input: &DeriveInput, name: &str, parts: &[Part<'_>]) -> TokenStream {
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!(::twz::persist::Persist));
    }
    let (params, args, bounds) = generics.split_for_impl();
    let padding = padding_check(ident, parts);
    let fields = parts.iter().map(|Part { name, member, ty }| {
        // The type's own tokens: "cannot live in an object" points at the field.
        quote! {
            (
                #name,
                <#ty as ::twz::persist::Persist>::FINGERPRINT,
                ::core::mem::offset_of!(Self, #member),
            )
        }
    });
    let now = evaluated_now(input);
    quote! {
        const _: () = {
            // SAFETY (no comment reaches the compiler): each field is `Persist`, there is nothing
            // between the fields, and `repr` fixes where they are.
            #[automatically_derived]
            unsafe impl #params ::twz::persist::Persist for #ident #args #bounds {
                const NAME: &'static ::core::primitive::str = #name;
                const FINGERPRINT: ::core::primitive::u64 = {
                    #padding
                    ::twz::persist::fingerprint(
                        #name,
                        ::core::mem::size_of::<Self>(),
                        ::core::mem::align_of::<Self>(),
                        &[#(#fields),*],
                    )
                };
            }
            #now
        };
    }
}

/// Size against the sum of the fields, reported at the struct's name.
fn padding_check(ident: &Ident, parts: &[Part<'_>]) -> TokenStream {
    let message = format!("{} has padding: add explicit reserved fields", ident.unraw());
    let sizes = parts.iter().map(|Part { ty, .. }| quote!(::core::mem::size_of::<#ty>()));
    quote_spanned! {Span::call_site().located_at(ident.span())=>
        ::core::assert!(::core::mem::size_of::<Self>() == 0 #(+ #sizes)*, #message);
    }
}

/// Padding in a type without parameters is an error where it is declared; with parameters, where
/// it is first used.
fn evaluated_now(input: &DeriveInput) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let ident = &input.ident;
    quote! {
        const _: ::core::primitive::u64 = <#ident as ::twz::persist::Persist>::FINGERPRINT;
    }
}

fn refuse(place: impl quote::ToTokens, message: String) -> Error {
    Error::new_spanned(place, message)
}

#[cfg(test)]
mod tests;
