// Pictures before they leave: big ones are made smaller here, so that a phone's photo goes through.

const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const LIMIT = 5 * 1024 * 1024; // bytes
const LIGHT = 1024 * 1024; // bytes that go as they are
const SIDE = 1600; // pixels of the longer side

function uri(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });
}

// The data URI of a picture file; throws when it is none.
export async function prepare(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  if (TYPES.includes(file.type) && file.size <= LIGHT && scale === 1) return uri(file);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // JPEG has no transparency, and a QR on black is none
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.88));
  if (!blob || blob.size > LIMIT) throw new Error("too large");
  return uri(blob);
}

export const pictureIn = (transfer) => [...(transfer?.files || [])].find((file) => file.type.startsWith("image/"));
