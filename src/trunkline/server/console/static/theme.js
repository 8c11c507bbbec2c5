// Before anything is painted: the theme that the user chose here, else that of the system.
(() => {
  const chosen = localStorage.getItem("trunkline-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
